package smtp_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
)

// What the parameters say reaches the Session.
func TestParametersReachTheSession(t *testing.T) {
	s := &recorder{}
	said := "MAIL FROM:<> SIZE=10 BODY=BINARYMIME SMTPUTF8 RET=FULL ENVID=x+20y\r\n" +
		"RCPT TO:<a@b.c> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c\r\nRCPT TO:<d@b.c>\r\nRSET\r\n" +
		"MAIL FROM:<> RET=HDRS\r\n"
	if got, cause := say(t, s, smtp.ServerOptions{}, said); cause != smtp.EndRemote {
		t.Fatal(got)
	}
	wantMails := []smtp.MailParameters{
		{Size: 10, Body: smtp.BodyBinaryMIME, UTF8: true, Return: smtp.ReturnFull, EnvelopeID: "x+20y"},
		{Return: smtp.ReturnHeaders},
	}
	wantRcpts := []smtp.RecipientParameters{
		{Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: "rfc822;a+2Bb@c"}, {},
	}
	if diff := cmp.Diff(wantMails, s.mails); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantRcpts, s.rcpts); diff != "" {
		t.Error(diff)
	}
}
