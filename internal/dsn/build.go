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
	// KindRelayed: the next hop has the message and will not say what becomes of it.
	KindRelayed
	// KindDelivered: the message is in the recipient's mailbox.
	KindDelivered
)

// words are what a kind is called.
type words struct{ action, subject, text string }

var kindWords = [...]words{
	KindFailed:    {"failed", "Undeliverable mail", "Your message could not be delivered to one or more recipients."},
	KindDelayed:   {"delayed", "Delayed mail", "Your message has not been delivered yet. You need not send it again."},
	KindRelayed:   {"relayed", "Relayed mail", "Your message has been passed on to a mail server that does not confirm its delivery. You will hear no more of it unless it fails there."},
	KindDelivered: {"delivered", "Delivered mail", "Your message has been delivered."},
}

func (k Kind) action() string { return kindWords[k].action }

// success reports the kinds that a sender has asked for by NOTIFY=SUCCESS.
func (k Kind) success() bool { return k == KindRelayed || k == KindDelivered }

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
	// EnvelopeID is the ENVID parameter as it came, in xtext; "" for none.
	EnvelopeID string
	// Original is the original's header section without the empty line; it may
	// be empty. It is returned as it is but for bare CR and LF, quoted-printable
	// where it is not plain ASCII (RFC 6522, section 4).
	Original []byte
	// Content is the whole original, to be returned instead of its header; nil
	// for the header alone. What cannot stand in a report as it is (lines too
	// long, octets that are no text) is returned by its header as well.
	Content []byte
	// UTF8: the original was sent with SMTPUTF8 (RFC 6531).
	UTF8 bool
	// OriginalMessageID is its Message-ID, for the text and References; may be empty.
	OriginalMessageID string
	Subject           string // the original's, for the text; may be empty
}

// Recipient is one recipient the notification is about.
type Recipient struct {
	Address string
	// OriginalRecipient is the ORCPT parameter; "" for none.
	OriginalRecipient smtp.OriginalRecipient
	Reply             smtp.Reply // that caused it; zero when no host said anything
	LastError         string     // what an administrator reads
	RemoteHost        string     // the host that replied: "mail.example", "mail.example [192.0.2.1]:25"; "" when none did
	LastAttempt       time.Time  // zero when there was none
}

// Limits of what others' words may take.
const (
	maxText     = 1000
	maxOriginal = 64 << 10
)

// Build returns the notification as wire octets (CRLF line ends). It refuses a
// notification without kind, recipients or addressee.
//
// The notification is ASCII, and so can go anywhere, except that an addressee
// beyond ASCII stands in its To field, and original Content is not encoded
// (RFC 2046, section 5.2.1 forbids that).
func Build(o Options) ([]byte, error) {
	switch {
	case o.Kind == KindUnknown || int(o.Kind) >= len(kindWords):
		return nil, errors.New("building a notification: its kind is not set")
	case len(o.Recipients) == 0:
		return nil, errors.New("building a notification: it has no recipients")
	case o.To == (smtp.Mailbox{}):
		return nil, errors.New("building a notification: a null reverse-path gets none (RFC 5321, section 4.5.5)")
	}
	boundary := fmt.Sprintf("=_%x", sha256.Sum256([]byte(o.ID)))[:34]
	var b, text bytes.Buffer
	o.writeHeader(&b, boundary)
	o.writeText(&text)
	if isASCII(text.Bytes()) {
		part(&b, boundary, "text/plain; charset=us-ascii", "")
		b.Write(text.Bytes())
	} else {
		part(&b, boundary, "text/plain; charset=utf-8", "quoted-printable")
		b.Write(quoted(text.Bytes()))
	}
	part(&b, boundary, "message/delivery-status", "")
	o.writeStatus(&b)
	o.writeOriginal(&b, boundary)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// full reports whether the whole original is returned.
func (o *Options) full(boundary string) bool {
	return o.Kind == KindFailed && returnable(o.Content, boundary)
}

// writeOriginal is the part with the original or its header.
func (o *Options) writeOriginal(b *bytes.Buffer, boundary string) {
	if o.full(boundary) {
		kind, encoding := "message/rfc822", ""
		if !isASCII(o.Content) {
			encoding = "8bit"
		}
		if o.UTF8 {
			kind = "message/global" // RFC 6532, section 3.7
		}
		part(b, boundary, kind, encoding)
		b.Write(o.Content)
		return
	}
	kind := "text/rfc822-headers"
	original, encoding := encodeOriginal(cleanOriginal(o.Original))
	if o.UTF8 && encoding != "" {
		kind = "message/global-headers" // RFC 6533, section 4
	}
	part(b, boundary, kind, encoding)
	b.Write(original)
}

func (o *Options) writeHeader(b *bytes.Buffer, boundary string) {
	subject := kindWords[o.Kind].subject
	if s := printable(o.Subject, 120); s != "" {
		subject += ": " + s
	}
	field(b, "Date", o.Now.Format(time.RFC1123Z))
	field(b, "From", "Mail Delivery System <"+printable(o.From.String(), maxText)+">")
	field(b, "To", "<"+readable(o.To.String())+">")
	field(b, "Subject", subject)
	field(b, "Message-ID", "<"+printable(o.ID, 200)+"@"+string(o.ReportingMTA)+">")
	if id := printable(o.OriginalMessageID, 250); strings.HasPrefix(id, "<") && strings.HasSuffix(id, ">") {
		field(b, "References", id)
	}
	field(b, "Auto-Submitted", "auto-replied")
	field(b, "MIME-Version", "1.0")
	field(b, "Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	if o.full(boundary) && !isASCII(o.Content) {
		field(b, "Content-Transfer-Encoding", "8bit") // RFC 2045, section 6.4
	}
	b.WriteString("\r\nThis is a report in MIME format.\r\n")
}

// writeText is the part for people.
func (o *Options) writeText(b *bytes.Buffer) {
	paragraph(b, kindWords[o.Kind].text)
	if o.Kind == KindDelayed && !o.Expires.IsZero() {
		paragraph(b, "Delivery will be tried until "+o.Expires.UTC().Format("2 January 2006 15:04 MST")+".")
	}
	if s := readable(o.Subject); s != "" {
		paragraph(b, "Subject: "+s)
	}
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		paragraph(b, "To: "+readable(r.Address))
		if !o.Kind.success() {
			paragraph(b, explain(o.Kind, r.Reply, r.LastError))
		}
	}
	b.WriteString("\r\nDiagnostic information for administrators\r\n\r\n")
	paragraph(b, "Generating server: "+string(o.ReportingMTA))
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		paragraph(b, readable(r.Address))
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
	if id, ok := smtp.DecodeXtext(o.EnvelopeID); ok && id != "" { // RFC 3461, section 6.3
		field(b, "Original-Envelope-Id", printable(id, maxText))
	}
	field(b, "Reporting-MTA", "dns; "+string(o.ReportingMTA))
	if !o.Arrival.IsZero() {
		field(b, "Arrival-Date", o.Arrival.Format(time.RFC1123Z))
	}
	for _, r := range o.Recipients {
		b.WriteString("\r\n")
		if kind, address, ok := r.OriginalRecipient.Decode(); ok {
			field(b, "Original-Recipient", kind+"; "+printable(address, maxText))
		}
		field(b, "Final-Recipient", finalRecipient(r.Address))
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

// finalRecipient is an address with its type. One beyond ASCII is written in the
// ASCII form of its type (RFC 6533, section 3).
func finalRecipient(address string) string {
	if isASCII([]byte(address)) {
		return "rfc822; " + printable(address, maxText)
	}
	return "utf-8; " + printable(string(smtp.AppendUTF8Address(nil, address)), maxText)
}

// hostName is the name in a remote host's description, without address and port.
func hostName(s string) string {
	name, _, _ := strings.Cut(printable(s, maxText), " ")
	return name
}

// status is the Status field: the reply's enhanced code, else a general one of
// the kind's class (RFC 3463, section 2).
func status(k Kind, r smtp.Reply) string {
	e := r.Enhanced.String()
	switch {
	case k.success():
		if r.Enhanced[0] == 2 {
			return e
		}
		return "2.0.0"
	case e != "":
		return e
	}
	if k == KindDelayed || r.Temporary() {
		return "4.0.0"
	}
	return "5.0.0"
}
