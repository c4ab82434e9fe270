package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"mailpact/internal/smtp"
)

// letter is one message and how it is carried to a gateway's door.
type letter struct {
	source      string // address to send from
	name        string // EHLO argument
	address     string // where to
	from, to    string // envelope
	header      []string
	subject     string
	tls         bool
	credentials *credentials // client certificate; nil: none
	trust       *organisation
}

// The speakers of a line, whoever's transcript it comes from.
const (
	fromClient  = "C "
	fromServer  = "S "
	information = "* "
)

// wire collects what both sides said.
type wire struct{ lines []string }

func (w *wire) Sent(line string)     { w.lines = append(w.lines, fromClient+line) }
func (w *wire) Received(line string) { w.lines = append(w.lines, fromServer+line) }

// Info is not shown: the lines tell the story.
func (w *wire) Info(string, string) {}

// send carries one letter in a session of its own and returns what was said and
// the reply that decided: the first refusal, or that of the end of data.
func (t *town) send(ctx context.Context, l letter) (*wire, smtp.Reply, error) {
	w := &wire{}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(l.source)}}
	conn, err := dialer.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return w, smtp.Reply{}, err
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: l.name, Transcript: w})
	defer c.Close()
	if _, err := c.Greeting(ctx); err != nil {
		return w, smtp.Reply{}, err
	}
	if _, err := c.Hello(ctx); err != nil {
		return w, smtp.Reply{}, err
	}
	if l.tls {
		if err := c.StartTLS(ctx, l.tlsConfig()); err != nil {
			return w, smtp.Reply{}, err
		}
		if _, err := c.Hello(ctx); err != nil {
			return w, smtp.Reply{}, err
		}
	}
	reply, err := transact(ctx, c, l)
	if err != nil {
		return w, reply, err
	}
	return w, reply, c.Quit(ctx)
}

func (l letter) tlsConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(l.trust.ca.Certificate())
	cfg := &tls.Config{RootCAs: roots, ServerName: l.trust.mailHost(), MinVersion: tls.VersionTLS12}
	if l.credentials != nil {
		own := l.credentials.certificate
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	return cfg
}

func transact(ctx context.Context, c *smtp.Client, l letter) (smtp.Reply, error) {
	from, err := smtp.ParseMailbox(l.from)
	if err != nil {
		return smtp.Reply{}, err
	}
	to, err := smtp.ParseMailbox(l.to)
	if err != nil {
		return smtp.Reply{}, err
	}
	result, err := c.Send(ctx, smtp.Transaction{
		From:       smtp.ReversePath{Mailbox: from},
		Recipients: []smtp.ForwardPath{{Mailbox: to}},
		Content:    strings.NewReader(l.text()),
	})
	if err != nil {
		var refused *smtp.ReplyError
		if errors.As(err, &refused) {
			return refused.Reply, nil
		}
		return smtp.Reply{}, err
	}
	return result.Recipients[0], nil
}

// text is the message: a From field unless the letter brings its own.
func (l letter) text() string {
	var b strings.Builder
	own := false
	for _, f := range l.header {
		own = own || strings.HasPrefix(f, "From:")
		b.WriteString(f + "\r\n")
	}
	if !own {
		fmt.Fprintf(&b, "From: <%s>\r\n", l.from)
	}
	fmt.Fprintf(&b, "To: <%s>\r\nSubject: %s\r\nMessage-ID: <%s@%s>\r\n\r\nA message of the lab.\r\n",
		l.to, l.subject, strings.ReplaceAll(l.subject, " ", "-"), l.name)
	return b.String()
}
