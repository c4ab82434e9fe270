package receive

import (
	"errors"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// tarpit delays err by tarpitInterval when it refuses for good: who guesses
// addresses shall not be fast. A refusal that is to be tried again later comes
// at once.
//
// The server loop's own errors are not delayed; maxProtocolErrors bounds them.
func (x *session) tarpit(err error) error {
	var r smtp.Reply
	if errors.As(err, &r) && r.Permanent() {
		return x.delay(r)
	}
	return err
}

// delay delays a reply to a client that nobody has authenticated: inner servers,
// accounts, and partners in a transaction that is secured, do not wait.
func (x *session) delay(r smtp.Reply) smtp.Reply {
	if !x.rc.ExternallySecured() && x.account == "" && x.tx.verdict.Action != domainsec.ActionSecure {
		r.Delay = x.rc.TarpitInterval
	}
	return r
}
