package smtp

import (
	"bytes"
	"strings"
)

// Notify is the NOTIFY parameter (RFC 3461, section 4.1): of what the sender
// wants to be told for a recipient. The numbers are stored with queued messages
// and do not change.
type Notify uint8

// The elements. NotifyNever stands alone; the zero value means that nothing was
// said, which is as good as failure and delay.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

var notifyNames = [...]struct {
	element Notify
	name    string
}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}}

// Wants reports whether the sender is to be told of element.
func (n Notify) Wants(element Notify) bool {
	if n == 0 {
		return element == NotifyFailure || element == NotifyDelay
	}
	return n&element != 0
}

// String returns the parameter's value, "" for the zero value.
func (n Notify) String() string {
	var names []string
	for _, e := range notifyNames {
		if n&e.element != 0 {
			names = append(names, e.name)
		}
	}
	return strings.Join(names, ",")
}

// parseNotify reads the value of NOTIFY.
func parseNotify(value []byte) (Notify, bool) {
	var n Notify
	for word := range bytes.SplitSeq(value, []byte{','}) {
		known := false
		for _, e := range notifyNames {
			if equalFoldASCII(word, e.name) {
				n |= e.element
				known = true
			}
		}
		if !known {
			return 0, false
		}
	}
	return n, n == NotifyNever || n&NotifyNever == 0
}

// Return is the RET parameter (RFC 3461, section 4.3): what of the message a
// report of a failure is to return. The numbers are stored with queued messages
// and do not change.
type Return uint8

// The values. The zero value means that nothing was said.
const (
	ReturnUnspecified Return = iota
	ReturnFull
	ReturnHeaders
)

// parseReturn reads the value of RET.
func parseReturn(value []byte) (Return, bool) {
	switch {
	case equalFoldASCII(value, "FULL"):
		return ReturnFull, true
	case equalFoldASCII(value, "HDRS"):
		return ReturnHeaders, true
	}
	return ReturnUnspecified, false
}
