package dsn

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

// Kind is what a notification says about its recipients.
type Kind uint8

// The kinds (RFC 3464, section 2.3.3). The zero value is refused.
const (
	KindUnknown Kind = iota
	KindFailed
	KindDelayed
)

func (k Kind) action() string {
	if k == KindDelayed {
		return "delayed"
	}
	return "failed"
}

// Options are what a notification says.
type Options struct {
	Kind         Kind
	ReportingMTA smtp.Domain  // this server
	From         smtp.Mailbox // the postmaster, for the From field only; the reverse-path is null
	To           smtp.Mailbox // the original sender
	// ID makes the Message-ID and the boundary; it must be unique on this server.
	ID         string
	Now        time.Time
	Arrival    time.Time // when the original was accepted
	Expires    time.Time // KindDelayed: when delivery will be given up
	Recipients []Recipient
	// Original is the original's header section without the empty line; it may
	// be empty. It is returned as it is but for bare CR and LF, quoted-printable
	// where it is not plain ASCII (RFC 6522, section 4).
	Original []byte
	// OriginalMessageID is its Message-ID, for the text and References; may be empty.
	OriginalMessageID string
	Subject           string // the original's, for the text; may be empty
}

// Recipient is one recipient the notification is about.
type Recipient struct {
	Address     string
	Reply       smtp.Reply // that caused it; zero when no host said anything
	LastError   string     // what an administrator reads
	RemoteHost  string     // the host that replied: "mail.example", "mail.example [192.0.2.1]:25"; "" when none did
	LastAttempt time.Time  // zero when there was none
}

// Limits of what others' words may take.
const (
	maxText     = 1000
	maxOriginal = 64 << 10
)

// Build returns the notification as wire octets (CRLF line ends). It refuses a
// notification without kind, recipients or addressee.
func Build(o Options) ([]byte, error) {
	switch {
	case o.Kind == KindUnknown:
		return nil, errors.New("building a notification: its kind is not set")
	case len(o.Recipients) == 0:
		return nil, errors.New("building a notification: it has no recipients")
	case o.To == (smtp.Mailbox{}):
		return nil, errors.New("building a notification: a null reverse-path gets none (RFC 5321, section 4.5.5)")
	}
	original, encoding := encodeOriginal(cleanOriginal(o.Original))
	boundary := fmt.Sprintf("=_%x", sha256.Sum256([]byte(o.ID)))[:34]
	var b bytes.Buffer
	o.writeHeader(&b, boundary)
	part(&b, boundary, "text/plain; charset=us-ascii", "")
	o.writeText(&b)
	part(&b, boundary, "message/delivery-status", "")
	o.writeStatus(&b)
	part(&b, boundary, "text/rfc822-headers", encoding)
	b.Write(original)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), nil
}

func (o *Options) writeHeader(b *bytes.Buffer, boundary string) {
	subject := "Undeliverable mail"
	if o.Kind == KindDelayed {
		subject = "Delayed mail"
	}
	if s := printable(o.Subject, 120); s != "" {
		subject += ": " + s
	}
	field(b, "Date", o.Now.Format(time.RFC1123Z))
	field(b, "From", "Mail Delivery System <"+printable(o.From.String(), maxText)+">")
	field(b, "To", "<"+printable(o.To.String(), maxText)+">")
	field(b, "Subject", subject)
	field(b, "Message-ID", "<"+printable(o.ID, 200)+"@"+string(o.ReportingMTA)+">")
	if id := printable(o.OriginalMessageID, 250); strings.HasPrefix(id, "<") && strings.HasSuffix(id, ">") {
		field(b, "References", id)
	}
	field(b, "Auto-Submitted", "auto-replied")
	field(b, "MIME-Version", "1.0")
	field(b, "Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	b.WriteString("\r\nThis is a report in MIME format.\r\n")
}

// writeText is the part for people.
func (o *Options) writeText(b *bytes.Buffer) {
	if o.Kind == KindDelayed {
		b.WriteString("Your message has not been delivered yet. You need not send it again.\r\n")
		if !o.Expires.IsZero() {
			paragraph(b, "Delivery will be tried until "+o.Expires.UTC().Format("2 January 2006 15:04 MST")+".")
		}
	} else {
		b.WriteString("Your message could not be delivered to one or more recipients.\r\n")
	}
	if s := printable(o.Subject, maxText); s != "" {
		paragraph(b, "Subject: "+s)
	}
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		paragraph(b, "To: "+printable(r.Address, maxText))
		paragraph(b, explain(o.Kind, r.Reply, r.LastError))
	}
	b.WriteString("\r\nDiagnostic information for administrators\r\n\r\n")
	paragraph(b, "Generating server: "+string(o.ReportingMTA))
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		paragraph(b, printable(r.Address, maxText))
		if r.RemoteHost != "" {
			paragraph(b, "Remote server: "+printable(r.RemoteHost, maxText))
		}
		if !r.Reply.IsZero() {
			paragraph(b, "#"+printable(r.Reply.String(), maxText)+"#")
		}
		if r.LastError != "" {
			paragraph(b, "Last error: "+printable(r.LastError, maxText))
		}
	}
}

// writeStatus is the part for programs (RFC 3464, sections 2.2 and 2.3).
func (o *Options) writeStatus(b *bytes.Buffer) {
	field(b, "Reporting-MTA", "dns; "+string(o.ReportingMTA))
	if !o.Arrival.IsZero() {
		field(b, "Arrival-Date", o.Arrival.Format(time.RFC1123Z))
	}
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		field(b, "Final-Recipient", "rfc822; "+printable(r.Address, maxText))
		field(b, "Action", o.Kind.action())
		field(b, "Status", status(o.Kind, r.Reply))
		if name := hostName(r.RemoteHost); name != "" {
			field(b, "Remote-MTA", "dns; "+name)
		}
		if !r.Reply.IsZero() {
			field(b, "Diagnostic-Code", "smtp; "+printable(r.Reply.String(), maxText))
		}
		if !r.LastAttempt.IsZero() {
			field(b, "Last-Attempt-Date", r.LastAttempt.Format(time.RFC1123Z))
		}
		if o.Kind == KindDelayed && !o.Expires.IsZero() {
			field(b, "Will-Retry-Until", o.Expires.Format(time.RFC1123Z))
		}
	}
}

// hostName is the name in a remote host's description, without address and port.
func hostName(s string) string {
	name, _, _ := strings.Cut(printable(s, maxText), " ")
	return name
}

// status is the Status field: the reply's enhanced code, else a general one of
// the kind's class (RFC 3463, section 2).
func status(k Kind, r smtp.Reply) string {
	if e := r.Enhanced.String(); e != "" {
		return e
	}
	if k == KindDelayed || r.Temporary() {
		return "4.0.0"
	}
	return "5.0.0"
}
