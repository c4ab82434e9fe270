package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// EnhancedCode is an enhanced mail system status code (RFC 3463), for example
// {4, 7, 5}. The zero value means that a reply carries none.
type EnhancedCode [3]uint16

// String returns the dotted form, or "" for the zero value.
func (e EnhancedCode) String() string {
	if e == (EnhancedCode{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

// Reply is an SMTP reply (RFC 5321, section 4.2). The zero value means "no
// reply decided". Reply implements error, so that a Session refuses by
// returning one; errors.As finds it in a wrapped chain.
type Reply struct {
	Code     int
	Enhanced EnhancedCode
	Lines    []string // text without codes and line ends; at least one
	// CloseAfter ends the session once the reply has been sent (421, 554 at
	// connect, a failed handshake).
	CloseAfter bool
	// Delay is how long the server loop waits before it sends the reply; it
	// waits less when the server stops.
	Delay time.Duration
}

// NewReply makes a reply. It panics when code is not a three-digit SMTP code or
// when the enhanced code's class digit differs from the code's first digit,
// because such a pair is a fault of the program, not of its input.
func NewReply(code int, enhanced EnhancedCode, lines ...string) Reply {
	if code < 200 || code > 599 {
		panic("smtp: reply code " + strconv.Itoa(code))
	}
	if enhanced != (EnhancedCode{}) && int(enhanced[0]) != code/100 {
		panic(fmt.Sprintf("smtp: reply %d with enhanced code %s", code, enhanced))
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	return Reply{Code: code, Enhanced: enhanced, Lines: lines}
}

// IsZero reports whether no reply was decided.
func (r Reply) IsZero() bool { return r.Code == 0 }

// Positive reports a 2yz or 3yz reply.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Temporary reports a 4yz reply.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent reports a 5yz reply.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// Closing returns the reply with CloseAfter set.
func (r Reply) Closing() Reply { r.CloseAfter = true; return r }

// String returns the reply as one line of text, its lines joined by spaces:
// what logs, LastError and DSNs show.
func (r Reply) String() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Code))
	if e := r.Enhanced.String(); e != "" {
		b.WriteByte(' ')
		b.WriteString(e)
	}
	if t := strings.Join(r.Lines, " "); t != "" {
		b.WriteByte(' ')
		b.WriteString(t)
	}
	return b.String()
}

// Error returns String.
func (r Reply) Error() string { return r.String() }
