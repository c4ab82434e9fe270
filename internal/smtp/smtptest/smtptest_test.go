package smtptest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp/smtptest"
)

func TestTable(t *testing.T) {
	peer := smtptest.Listen(t, smtptest.Script{smtptest.Serve(smtptest.Table{
		Replies: map[string]string{
			"RCPT TO:":         "250 anybody",
			"rcpt to:<nobody":  "550 5.1.1 no such user",
			"greeting":         "220-two\n220 lines",
			".":                "250 kept",
			"EHLO picky":       "421 not you",
			"something longer": "250 never",
		},
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate(t)}},
	})})
	c, greeting := smtptest.Dial(t, peer.Addr)
	if greeting != "220-two\n220 lines" {
		t.Errorf("greeting %q", greeting)
	}
	if r := c.Say("EHLO me"); !strings.Contains(r, "STARTTLS") {
		t.Errorf("EHLO: %q", r)
	}
	c.StartTLS(&tls.Config{InsecureSkipVerify: true})
	if r := c.Say("EHLO me"); strings.Contains(r, "STARTTLS") {
		t.Errorf("EHLO after STARTTLS: %q", r)
	}
	c.Expect("MAIL FROM:<>", "250")
	c.Expect("RCPT TO:<nobody@b.c>", "550 5.1.1")
	c.Expect("RCPT TO:<somebody@b.c>", "250 anybody")
	c.Expect("DATA", "354")
	c.Write("one\r\n..two\r\n.\r\n")
	if r := c.Reply(); r != "250 kept" {
		t.Errorf("end of data: %q", r)
	}
	c.Expect("WHAT", "500")
	c.Expect("EHLO picky", "421")
	c.ExpectClosed()
	peer.Wait()
	r := peer.Records()[0]
	if diff := cmp.Diff([]string{"one\r\n.two\r\n"}, peer.Messages()); diff != "" {
		t.Error(diff)
	}
	if r.TLS == nil || r.Lines[len(r.Lines)-1] != "EHLO picky" {
		t.Errorf("record %+v", r)
	}
}

func TestHear(t *testing.T) {
	tests := []struct {
		pattern, line string
		ok            bool
	}{
		{"NOOP", "NOOP", true},
		{"NOOP", "NOOP ", false},
		{"MAIL*", "MAIL FROM:<>", true},
		{"*SIZE=*BODY=*", "MAIL FROM:<> SIZE=1 BODY=7BIT", true},
		{"*BODY=*SIZE=*", "MAIL FROM:<> SIZE=1 BODY=7BIT", false},
		{"MAIL*>", "MAIL FROM:<> X", false},
	}
	for _, tt := range tests {
		conn, peer := smtptest.Pipe(t, smtptest.Script{smtptest.On(tt.pattern, "250 heard")})
		c := smtptest.NewClient(t, conn)
		c.Write(tt.line + "\r\n")
		if tt.ok {
			c.Reply()
		}
		c.ExpectClosed()
		if err := peer.Records()[0].Err; !tt.ok && (err == nil || !strings.Contains(err.Error(), tt.pattern)) {
			t.Errorf("%q, %q: %v", tt.pattern, tt.line, err)
		}
	}
}

// Each connection plays the next script, and the last one is played again.
func TestScriptsInOrder(t *testing.T) {
	peer := smtptest.Listen(t, smtptest.Script{smtptest.Say("220 first")}, smtptest.Script{smtptest.Say("220 others")})
	for _, want := range []string{"220 first", "220 others", "220 others"} {
		c, greeting := smtptest.Dial(t, peer.Addr)
		if greeting != want {
			t.Errorf("got %q, want %q", greeting, want)
		}
		c.ExpectClosed()
	}
	peer.Wait()
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"peer.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
