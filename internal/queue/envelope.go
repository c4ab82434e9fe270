package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailpact/internal/smtp"
)

// The stored forms of envelope, key and delivery state: a version octet, then
// fields in a fixed order, numbers as varints, strings with their length before
// them. A field is only ever added under a new version, which the reader of the
// old one refuses.
const (
	envelopeVersion = 1
	// extendedVersion is that of envelopes with what version 1 has no place
	// for: the parameters of SMTPUTF8 and DSN.
	extendedVersion = 2
	stateVersion    = 1
	keyVersion      = 1
)

const flagUTF8 = 1 // of an envelope

// flagBits is how many bits of a delivery's flags stand below the number of its
// trials. Flags need no version of their own: a program that does not know them
// refuses the schema that came with them.
const flagBits = 3

var errEncoding = errors.New("the stored form is damaged")

// encodeEnvelope appends the envelope's stored form to b. ID, Size and Received
// are columns of their own.
func encodeEnvelope(b []byte, m *Message) []byte {
	extended := m.UTF8 || m.Return != 0 || m.EnvelopeID != "" || len(m.RecipientParameters) > 0
	if extended {
		b = append(b, extendedVersion)
	} else {
		b = append(b, envelopeVersion)
	}
	b = appendMailbox(b, m.From.Mailbox)
	b = binary.AppendUvarint(b, uint64(len(m.Recipients)))
	for i := range m.Recipients {
		b = appendMailbox(b, m.Recipients[i].Mailbox)
	}
	b = binary.AppendUvarint(b, uint64(m.Body))
	for _, s := range [...]string{m.InternetMessageID, m.Subject, m.SessionID, m.Connector, m.SourceIP, string(m.SecuredDomain)} {
		b = appendString(b, s)
	}
	if extended {
		b = appendExtension(b, m)
	}
	return b
}

func appendExtension(b []byte, m *Message) []byte {
	flags := uint64(0)
	if m.UTF8 {
		flags |= flagUTF8
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendUvarint(b, uint64(m.Return))
	b = appendString(b, m.EnvelopeID)
	b = binary.AppendUvarint(b, uint64(len(m.RecipientParameters)))
	for i := range m.RecipientParameters {
		p := &m.RecipientParameters[i]
		b = binary.AppendUvarint(b, uint64(p.Notify))
		b = appendString(b, string(p.OriginalRecipient))
	}
	return b
}

func (d *decoder) extension(m *Message) {
	m.UTF8 = d.uvarint()&flagUTF8 != 0
	m.Return = smtp.Return(d.uvarint())
	m.EnvelopeID = d.string()
	n := d.uvarint()
	if n == 0 {
		return
	}
	if n != uint64(len(m.Recipients)) {
		d.fail()
		return
	}
	m.RecipientParameters = make([]smtp.RecipientParameters, n)
	for i := range m.RecipientParameters {
		m.RecipientParameters[i] = smtp.RecipientParameters{Notify: smtp.Notify(d.uvarint()), OriginalRecipient: smtp.OriginalRecipient(d.string())}
	}
}

func decodeEnvelope(b []byte) (*Message, error) {
	d := decoder{b: b}
	version := d.version(envelopeVersion, extendedVersion)
	m := &Message{From: smtp.ReversePath{Mailbox: d.mailbox()}}
	m.Recipients = d.recipients()
	m.Body = smtp.BodyType(d.uvarint())
	for _, to := range [...]*string{&m.InternetMessageID, &m.Subject, &m.SessionID, &m.Connector, &m.SourceIP, (*string)(&m.SecuredDomain)} {
		*to = d.string()
	}
	if version == extendedVersion {
		d.extension(m)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("reading envelope: %w", err)
	}
	return m, nil
}

func encodeKey(k Key) []byte {
	b := make([]byte, 0, 5+len(k.DeliveryType)+len(k.NextHopDomain)+len(k.TLSDomain)+len(k.Connector))
	b = append(b, keyVersion)
	b = appendString(b, k.DeliveryType)
	b = appendString(b, k.NextHopDomain)
	b = appendString(b, string(k.TLSDomain))
	return appendString(b, k.Connector)
}

func decodeKey(b []byte) (Key, error) {
	d := decoder{b: b}
	d.version(keyVersion)
	k := Key{DeliveryType: d.string(), NextHopDomain: d.string(), TLSDomain: smtp.Domain(d.string()), Connector: d.string()}
	if err := d.end(); err != nil {
		return Key{}, fmt.Errorf("reading queue key: %w", err)
	}
	return k, nil
}

// state is what is stored of a delivery beside its key and due time.
type state struct {
	recipients  []smtp.ForwardPath // those still to be delivered
	attempts    int
	connection  bool // the last attempt failed for the destination as a whole
	delayTold   bool // the sender has been told of the delay
	suspended   bool // by an administrator
	trials      int  // attempts that are thought to have ended the process or in a panic, in a row
	lastError   string
	remoteHost  string
	lastAttempt time.Time
}

func encodeState(b []byte, s *state) []byte {
	b = append(b, stateVersion)
	b = binary.AppendUvarint(b, uint64(len(s.recipients)))
	for i := range s.recipients {
		b = appendMailbox(b, s.recipients[i].Mailbox)
	}
	b = binary.AppendUvarint(b, uint64(s.attempts))
	flags := uint64(0)
	if s.connection {
		flags |= 1
	}
	if s.delayTold {
		flags |= 2
	}
	if s.suspended {
		flags |= 4
	}
	b = binary.AppendUvarint(b, flags|uint64(s.trials)<<flagBits)
	b = appendString(b, s.lastError)
	b = appendString(b, s.remoteHost)
	return binary.AppendVarint(b, milliseconds(s.lastAttempt))
}

func decodeState(b []byte) (*state, error) {
	d := decoder{b: b}
	d.version(stateVersion)
	s := &state{recipients: d.recipients(), attempts: int(d.uvarint())}
	flags := d.uvarint()
	s.connection, s.delayTold, s.suspended = flags&1 != 0, flags&2 != 0, flags&4 != 0
	s.trials = int(min(flags>>flagBits, maxTrials))
	s.lastError, s.remoteHost = d.string(), d.string()
	s.lastAttempt = fromMilliseconds(d.varint())
	if len(s.recipients) == 0 {
		d.fail()
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("reading delivery: %w", err)
	}
	return s, nil
}

// milliseconds is t's stored form; the zero time is 0.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendMailbox(b []byte, m smtp.Mailbox) []byte {
	b = appendString(b, m.LocalPart)
	b = appendString(b, string(m.Domain))
	return appendString(b, m.Literal)
}

// decoder reads a stored form; the first fault sticks.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errEncoding
	}
}

// version reads the version, which must be one of known.
func (d *decoder) version(known ...byte) byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	got := d.b[0]
	if !slices.Contains(known, got) {
		d.b, d.err = nil, fmt.Errorf("version %d is not known to this program", got)
		return 0
	}
	d.b = d.b[1:]
	return got
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) mailbox() smtp.Mailbox {
	return smtp.Mailbox{LocalPart: d.string(), Domain: smtp.Domain(d.string()), Literal: d.string()}
}

func (d *decoder) recipients() []smtp.ForwardPath {
	n := d.uvarint()
	if n > uint64(len(d.b))/3 { // a mailbox has at least three octets
		d.fail()
		return nil
	}
	to := make([]smtp.ForwardPath, n)
	for i := range to {
		to[i].Mailbox = d.mailbox()
	}
	return to
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail()
	}
	return d.err
}
