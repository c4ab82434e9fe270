package protocollog

import (
	"strconv"
	"strings"
	"time"

	"mailpact/internal/logfile"
	"mailpact/internal/smtp"
)

// The contexts of the information rows that every session has.
const (
	ContextPermissions = "Set Session Permissions"
	ContextReceiving   = "receiving message"
	ContextSending     = "sending message"
	ContextLocal       = "Local"  // Disconnected: we ended the session
	ContextRemote      = "Remote" // Disconnected: the peer ended it

	LabelSending  = "Sending certificate"
	LabelReceived = "Received certificate"
)

// SessionOptions name a session in all its rows.
type SessionOptions struct {
	Connector     string // "server\connector", or the connector's name
	SessionID     string
	Local, Remote string // host:port
}

// Session is one connection's part of the log. Its methods, like those of
// smtp.Transcript, are called by one goroutine at a time; sessions do not wait
// for each other or for the disk. The methods of a nil Session do nothing.
type Session struct {
	log      *Log
	names    string // ",connector,session,": what stands before the number
	ends     string // ",local,remote,"
	id       string
	number   int64 // of the next row
	messages int
	auth     byte // the event of the client's lines while it authenticates; 0: it does not
	buf      []byte
}

var _ smtp.Transcript = (*Session)(nil)

// Session begins a session. It writes nothing yet. A nil Log gives a nil
// Session, which is what connectors without logging use.
func (l *Log) Session(o SessionOptions) *Session {
	if l == nil {
		return nil
	}
	names := logfile.AppendValue([]byte{','}, o.Connector)
	names = logfile.AppendValue(append(names, ','), o.SessionID)
	ends := logfile.AppendValue([]byte{','}, o.Local)
	ends = logfile.AppendValue(append(ends, ','), o.Remote)
	return &Session{log: l, names: string(append(names, ',')), ends: string(append(ends, ',')), id: o.SessionID}
}

// row writes one row. Each goes to the writer at once, so that the file shows
// what a session waits for.
func (s *Session) row(now time.Time, event byte, data, context string) {
	b := logfile.AppendTime(s.buf[:0], now)
	b = append(b, s.names...)
	b = strconv.AppendInt(b, s.number, 10)
	s.number++
	b = append(b, s.ends...)
	b = append(b, event, ',')
	b = logfile.AppendValue(b, data)
	b = append(b, ',')
	b = logfile.AppendValue(b, context)
	b = append(b, '\n')
	s.buf = b
	s.log.w.Append(now, b)
}

// Connected is the first row of a session.
func (s *Session) Connected() {
	if s != nil {
		s.row(s.log.now(), '+', "", "")
	}
}

// Disconnected is the last row; context says who ended the session, or the error.
func (s *Session) Disconnected(context string) {
	if s != nil {
		s.row(s.log.now(), '-', "", context)
	}
}

// Sent is a line that we sent.
func (s *Session) Sent(line string) {
	if s != nil {
		s.row(s.log.now(), '>', s.masked('>', line), "")
	}
}

// Received is a line that we received.
func (s *Session) Received(line string) {
	if s != nil {
		s.row(s.log.now(), '<', s.masked('<', line), "")
	}
}

// Info is something that was decided or found out.
func (s *Session) Info(data, context string) {
	if s != nil {
		s.row(s.log.now(), '*', data, context)
	}
}

// Message says that a transaction begins; context is ContextReceiving or
// ContextSending. Transactions are counted from 1.
func (s *Session) Message(context string) {
	if s == nil {
		return
	}
	now := s.log.now()
	s.messages++
	b := append([]byte(s.id), ';')
	b = logfile.AppendTime(b, now)
	b = strconv.AppendInt(append(b, ';'), int64(s.messages), 10)
	s.row(now, '*', string(b), context)
}

// CertificateRows is what the log tells of a certificate.
type CertificateRows struct {
	Subject, Issuer    string
	Serial, Thumbprint string   // upper-case hexadecimal; the thumbprint is SHA-1
	Names              []string // dNSName entries
}

// Certificate writes the six rows of a certificate; label is LabelSending or
// LabelReceived. Our own comes first on both sides.
func (s *Session) Certificate(label string, c CertificateRows) {
	if s == nil {
		return
	}
	now := s.log.now()
	s.row(now, '*', "", label)
	s.row(now, '*', c.Subject, "Certificate subject")
	s.row(now, '*', c.Issuer, "Certificate issuer name")
	s.row(now, '*', c.Serial, "Certificate serial number")
	s.row(now, '*', c.Thumbprint, "Certificate thumbprint")
	s.row(now, '*', strings.Join(c.Names, ";"), "Certificate alternate names")
}

const secret = "<masked>"

// masked hides what proves a client's identity (RFC 4954): the initial
// response of AUTH, the challenges, and every line of the client until a reply
// other than 334, whichever side we are on.
func (s *Session) masked(event byte, line string) string {
	switch {
	case s.auth == event:
		return secret
	case s.auth != 0:
		if code, rest, _ := strings.Cut(line, " "); code == "334" {
			return mask(code, rest)
		}
		s.auth = 0
		return line
	}
	if len(line) < 4 || !strings.EqualFold(line[:4], "AUTH") || len(line) > 4 && line[4] > ' ' {
		return line
	}
	s.auth = event
	mechanism, rest, _ := strings.Cut(strings.TrimLeft(line[4:], " \t"), " ")
	if len(mechanism) > maxMechanism {
		return mask("AUTH", mechanism)
	}
	return mask(strings.TrimRight("AUTH "+mechanism, " "), rest)
}

// maxMechanism is the longest name of a SASL mechanism (RFC 4422, section 3.1).
const maxMechanism = 20

func mask(head, rest string) string {
	if strings.TrimSpace(rest) == "" {
		return head
	}
	return head + " " + secret
}
