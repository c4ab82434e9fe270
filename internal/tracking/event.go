package tracking

import (
	"strconv"
	"time"

	"mailpact/internal/logfile"
)

// EventID says what happened.
type EventID string

// The events.
const (
	Receive EventID = "RECEIVE"       // a message was accepted
	Send    EventID = "SEND"          // a host took the message for these recipients
	Defer   EventID = "DEFER"         // an attempt failed for now
	Fail    EventID = "FAIL"          // delivery to these recipients has ended without success
	DSN     EventID = "DSN"           // a delivery status notification was made
	Poison  EventID = "POISONMESSAGE" // a message was set aside, because delivering it has ended the server
)

// Source says which part of the transport it happened in.
type Source string

// The sources.
const (
	SourceSMTP    Source = "SMTP"
	SourceQueue   Source = "QUEUE"
	SourceRouting Source = "ROUTING"
	SourceDNS     Source = "DNS"
	SourceDSN     Source = "DSN"
	SourceAdmin   Source = "ADMIN"
)

// Recipient is one recipient of an event with what became of it.
type Recipient struct {
	Address string
	Status  string // the reply or LastError; may be empty
}

// Event is a row. Empty values stay empty in the log.
type Event struct {
	Time time.Time // zero: now
	// Client is the peer that gave us the message, or ourselves when we send.
	ClientIP, ClientHostname string
	// Server is ourselves, or the peer that takes the message.
	ServerIP, ServerHostname string
	SourceContext            string // the session's id, or the cause of a DEFER or FAIL
	ConnectorID              string
	Source                   Source
	EventID                  EventID
	InternalMessageID        int64  // the queue's number; 0: none
	MessageID                string // Message-ID field
	Recipients               []Recipient
	TotalBytes               int64
	RelatedRecipientAddress  string
	Reference                string // DSN: the Message-ID it is about
	Subject                  string
	SenderAddress            string // of From or, failing it, the reverse-path
	ReturnPath               string // reverse-path, "<>" for the null one
	MessageInfo              string
}

// appendTo appends the event's row with its line end to dst.
func (e *Event) appendTo(dst []byte, subjects bool) []byte {
	dst = logfile.AppendTime(dst, e.Time)
	dst = value(dst, e.ClientIP)
	dst = value(dst, e.ClientHostname)
	dst = value(dst, e.ServerIP)
	dst = value(dst, e.ServerHostname)
	dst = value(dst, e.SourceContext)
	dst = value(dst, e.ConnectorID)
	dst = value(dst, string(e.Source))
	dst = value(dst, string(e.EventID))
	dst = number(dst, e.InternalMessageID, e.InternalMessageID != 0)
	dst = value(dst, e.MessageID)
	dst = e.appendRecipients(dst)
	dst = number(dst, e.TotalBytes, true)
	dst = number(dst, int64(len(e.Recipients)), true)
	dst = value(dst, e.RelatedRecipientAddress)
	dst = value(dst, e.Reference)
	if subjects {
		dst = value(dst, e.Subject)
	} else {
		dst = append(dst, ',')
	}
	dst = value(dst, e.SenderAddress)
	dst = value(dst, e.ReturnPath)
	dst = value(dst, e.MessageInfo)
	return append(dst, '\n')
}

// appendRecipients appends the lists of addresses and of statuses. One status
// that all have stands once.
func (e *Event) appendRecipients(dst []byte) []byte {
	if len(e.Recipients) == 0 {
		return append(dst, ",,"...)
	}
	if len(e.Recipients) == 1 {
		return value(value(dst, e.Recipients[0].Address), e.Recipients[0].Status)
	}
	var local [512]byte
	list := local[:0]
	same := true
	for i, r := range e.Recipients {
		if i > 0 {
			list = append(list, ';')
		}
		list = appendListed(list, r.Address)
		same = same && r.Status == e.Recipients[0].Status
	}
	dst = logfile.AppendList(append(dst, ','), string(list))
	if same {
		return value(dst, e.Recipients[0].Status)
	}
	list = list[:0]
	for i, r := range e.Recipients {
		if i > 0 {
			list = append(list, ';')
		}
		list = appendListed(list, r.Status)
	}
	return logfile.AppendList(append(dst, ','), string(list))
}

// appendListed appends an element of a list: its own separators become commas.
func appendListed(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == ';' {
			c = ','
		}
		dst = append(dst, c)
	}
	return dst
}

func value(dst []byte, s string) []byte { return logfile.AppendValue(append(dst, ','), s) }

func number(dst []byte, n int64, known bool) []byte {
	dst = append(dst, ',')
	if !known {
		return dst
	}
	return strconv.AppendInt(dst, n, 10)
}
