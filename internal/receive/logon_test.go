package receive

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// knownAccounts are accounts with their passwords; "busy" cannot be checked.
type knownAccounts map[string]string

func (k knownAccounts) CheckAccount(_ context.Context, name, password string) (string, bool, error) {
	if name == "busy" {
		return "", false, errors.New("no place at the desk")
	}
	p, known := k[name]
	if !known {
		return "", false, nil
	}
	return name, p == password, nil
}

// usersWorld is a world whose connector takes accounts in TLS.
func usersWorld(t *testing.T, change ...func(*directory.ReceiveConnector)) *world {
	return newWorld(t, func(c *directory.Configuration, o *Options) {
		rc := &c.ReceiveConnectors[0]
		rc.AuthMechanism = []directory.AuthMechanism{directory.AuthTLS, directory.AuthBasic, directory.AuthBasicRequireTLS}
		rc.PermissionGroups = append(rc.PermissionGroups, directory.GroupExchangeUsers)
		rc.MaxLogonFailures = 2
		for _, f := range change {
			f(rc)
		}
		o.Accounts = knownAccounts{"alice": "secret", "bob": "hidden"}
	})
}

// piped is a connection that nobody uses.
func piped(t *testing.T) net.Conn {
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a
}

func TestLogon(t *testing.T) {
	w := usersWorld(t)
	x := w.session(t, piped(t))
	hello := func() smtp.HelloResponse {
		r, err := x.Hello(t.Context(), smtp.Hello{Name: "client.example", Extended: true})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := hello(); len(r.Mechanisms) > 0 || !r.AuthNeedsTLS {
		t.Errorf("in the clear: %v", r)
	}
	x.tls = &domainsec.TLSFacts{Version: "TLSv1.3", CipherSuite: "X", PresentedOwn: true}
	if r := hello(); strings.Join(r.Mechanisms, " ") != "PLAIN LOGIN" || r.AuthNeedsTLS {
		t.Errorf("in TLS: %v", r)
	}
	logon := func(mechanism string, responses ...string) error {
		e, err := x.Authenticate(t.Context(), mechanism)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range responses {
			_, done, err := e.Next([]byte(r))
			if err != nil || done || i == len(responses)-1 {
				if err == nil && !done {
					t.Fatalf("%s: no end", mechanism)
				}
				return err
			}
		}
		return nil
	}
	wantReply(t, logon("PLAIN", "\x00alice\x00guess"), 535, false)
	wantReply(t, logon("PLAIN", "alice secret"), 535, false)
	wantReply(t, logon("LOGIN", "busy", "x"), 454, false) // which is no failure
	wantReply(t, logon("LOGIN", "nobody", "secret"), 421, true)
	x.logonFailures = 0
	wantReply(t, logon("PLAIN", "bob\x00alice\x00secret"), 535, false) // acting for another
	if x.account != "" {
		t.Fatalf("%q has authenticated", x.account)
	}
	if err := logon("PLAIN", "alice\x00alice\x00secret"); err != nil || x.account != "alice" {
		t.Fatalf("%q, %v", x.account, err)
	}
	for _, secret := range []string{"secret", "guess", "nobody"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log shows %q:\n%s", secret, w.log.String())
		}
	}
}

func wantReply(t *testing.T, err error, code int, closing bool) {
	t.Helper()
	var r smtp.Reply
	if !errors.As(err, &r) || r.Code != code || r.CloseAfter != closing {
		t.Errorf("reply %v, want %d", err, code)
	}
	if strings.Contains(r.String(), "secret") {
		t.Errorf("%v", r)
	}
}

// TestLogonIsTarpitted: a failure waits whatever the client may do otherwise.
func TestLogonIsTarpitted(t *testing.T) {
	w := usersWorld(t, func(rc *directory.ReceiveConnector) { rc.TarpitInterval = 3 * time.Second })
	x := w.session(t, piped(t))
	x.tls = &domainsec.TLSFacts{Version: "TLSv1.3", CipherSuite: "X", PresentedOwn: true}
	e, err := x.Authenticate(t.Context(), "PLAIN")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = e.Next([]byte("\x00alice\x00guess"))
	var r smtp.Reply
	if !errors.As(err, &r) || r.Delay != 3*time.Second {
		t.Errorf("%v delays %v", err, r.Delay)
	}
}

// TestAccountRights: an account submits to any domain as a sender of ours, is
// never marked, and loses it all where TLS begins.
func TestAccountRights(t *testing.T) {
	w := usersWorld(t)
	x := w.session(t, piped(t))
	x.tls = &domainsec.TLSFacts{Version: "TLSv1.3", CipherSuite: "X", PresentedOwn: true}
	x.peer, x.asked = []*x509.Certificate{partnerCertificate(t, "", "mail.woodgrovebank.com").Certificate}, true
	x.account = "alice"
	mail := func(domain smtp.Domain) error {
		x.Reset()
		from := smtp.ReversePath{}
		if domain != "" {
			from.Mailbox = smtp.Mailbox{LocalPart: "a", Domain: domain}
		}
		_, err := x.Mail(t.Context(), from, smtp.MailParameters{})
		return err
	}
	wantReply(t, mail("stranger.example"), 550, false)
	wantReply(t, mail("woodgrovebank.com"), 550, false) // a partner, with the partner's certificate even
	if err := mail("contoso.com"); err != nil {
		t.Fatal(err)
	}
	to := smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: "x", Domain: "elsewhere.example"}}
	if _, err := x.Recipient(t.Context(), to, smtp.RecipientParameters{}); err != nil {
		t.Errorf("an account may not submit elsewhere: %v", err)
	}
	if err := mail(""); err != nil || len(x.tx.candidates) > 0 {
		t.Errorf("null sender: %v, candidates %v", err, x.tx.candidates)
	}
	if len(w.judge.domains()) > 0 {
		t.Error("an account's certificate was judged")
	}
	x.account = ""
	if err := mail("stranger.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Recipient(t.Context(), to, smtp.RecipientParameters{}); err == nil {
		t.Error("a stranger may relay")
	}
}
