package receive

import (
	"bytes"
	"context"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// Accounts knows who may authenticate; package accounts has it.
type Accounts interface {
	// CheckAccount reports whether the password is that of the account called
	// name. The account is "" when nobody is called so. An error says nothing
	// about the password. It is called from many goroutines and may wait.
	CheckAccount(ctx context.Context, name, password string) (account string, ok bool, err error)
}

// mechanisms are those that AUTH offers. Both carry the password itself.
func mechanisms() []string { return []string{"PLAIN", "LOGIN"} }

// takesLogon says what AUTH has to offer at the moment.
func (x *session) takesLogon() (offered []string, needsTLS bool) {
	switch {
	case !x.rc.HasBasicAuth() || x.server.o.Accounts == nil:
		return nil, false
	case x.tls == nil && x.rc.BasicAuthNeedsTLS():
		return nil, true
	}
	return mechanisms(), false
}

// Authenticate begins the exchange of one of our mechanisms.
func (x *session) Authenticate(ctx context.Context, mechanism string) (smtp.Exchange, error) {
	if x.rc.RequireTLS && x.tls == nil {
		return nil, refusal(kindSTARTTLSRequired, x.id)
	}
	check := func(name, password []byte) error { return x.logon(ctx, mechanism, string(name), string(password)) }
	if mechanism == "LOGIN" {
		return &loginExchange{check: check}, nil
	}
	return &plainExchange{check: check}, nil
}

// plainExchange is PLAIN (RFC 4616): one response with all in it.
type plainExchange struct {
	check func(name, password []byte) error
}

func (e *plainExchange) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	// Three parts behind one another: whom to act for, who it is, and the password.
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return nil, false, e.check(nil, nil) // nobody acts for another here
	}
	err := e.check(parts[1], parts[2])
	return nil, err == nil, err
}

// loginExchange is LOGIN, which is no standard and which old clients speak: they
// are asked for name and password.
type loginExchange struct {
	check func(name, password []byte) error
	asked bool   // for the password
	name  []byte // a copy of our own
}

func (e *loginExchange) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case !e.asked:
		e.asked, e.name = true, bytes.Clone(response)
		return []byte("Password:"), false, nil
	}
	err := e.check(e.name, response)
	return nil, err == nil, err
}

// logon checks name and password. A failure is delayed and counted; after
// maxLogonFailures of them the next one ends the session. What a client has sent
// is not logged: people type passwords where names belong.
func (x *session) logon(ctx context.Context, mechanism, name, password string) error {
	account, ok, err := x.server.o.Accounts.CheckAccount(ctx, name, password)
	if err != nil {
		x.logger().Warn("a client could not be authenticated for now", "mechanism", mechanism, keyError, err)
		return refusal(kindLogonBusy, x.id)
	}
	if ok {
		x.account = account
		x.logger().Info("a client has authenticated", "mechanism", mechanism, keyAccount, account)
		x.info(account, "authenticated")
		x.tellRights(x.ordinaryRights())
		return nil
	}
	x.logonFailures++
	l := x.logger().With("mechanism", mechanism, "failures", x.logonFailures)
	k := kindLogonFailed
	if x.logonFailures > x.rc.MaxLogonFailures {
		k = kindTooManyLogonFailures
	}
	if account != "" {
		l = l.With(keyAccount, account)
	}
	x.server.complainTo(l, "a client failed to authenticate")
	r := refusal(k, x.id)
	r.Delay = x.rc.TarpitInterval
	return r
}

// ordinaryRights are the rights that the session has apart from any sender.
func (x *session) ordinaryRights() domainsec.Permissions {
	return domainsec.PermissionsFor(domainsec.Verdict{Action: domainsec.ActionOrdinary}, x.rc, x.account != "")
}

// maySendAs reports whether an authenticated client may speak for d: for a
// domain of ours only, and for "<>". Others are not asked here.
func (x *session) maySendAs(d smtp.Domain) bool {
	return x.account == "" || d == "" || x.tx.rights.Has(domainsec.SMTPAcceptAnySender) || x.tx.view.accepted[d] != nil
}

var _ smtp.Authenticator = (*session)(nil)
