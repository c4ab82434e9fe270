package domainsec

import (
	"fmt"
	"slices"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// FromFacts is what a message's From fields say. package message makes them. A
// domain that cannot be read stands in the lists as "", so that it cannot be overlooked.
type FromFacts struct {
	Fields   int           // number of From fields
	Strict   []smtp.Domain // domains of all addresses as a strict parser reads them
	StrictOK bool          // the strict parser accepted the field
	Union    []smtp.Domain // what any parser finds in any From field
	// Incomplete: the fields name more than is looked at, so that Union may lack
	// any domain.
	Incomplete bool
}

// Transaction is what AlignFrom must know of the transaction that brought the message.
type Transaction struct {
	Verdict Verdict // the verdict at MAIL FROM
	// Exempt: the transaction is authenticated, came over direct trust or on a
	// connector without DomainSecureEnabled. It is neither marked nor refused here.
	Exempt bool
	// Partner returns a domain's entry in the directory, or nil. A nil function lists nobody.
	Partner func(smtp.Domain) *directory.Partner
	// Session returns VerdictForSender of the same session for a listed
	// domain other than the transaction's. It is asked only before a refusal,
	// whose permanence it decides; a nil function makes refusals permanent.
	Session func(smtp.Domain) Verdict
}

// FromVerdict is a decision about a message at the end of its data. The zero
// value neither marks nor refuses.
type FromVerdict struct {
	// Mark is the domain whose mark the message earns, "" when it earns none.
	Mark smtp.Domain
	// Refuse: the message is refused, and may be tried again if Temporary.
	Refuse, Temporary bool
	// WouldRefuse: a partner in test mode would have refused it.
	WouldRefuse bool
	// Unsecured are the listed domains in From for which the transaction is
	// not secured: such a message is counted even when it is delivered.
	Unsecured []smtp.Domain
	// Reasons holds FromMismatch, after the session's own reasons, when
	// there are unsecured domains.
	Reasons []Reason
	Detail  string
}

// AlignFrom decides whether a message earns the mark of the domain its
// transaction is secured for, and whether it is refused for the domains that
// its From names.
//
// The mark needs exactly one From field, read alike by strict and lenient
// parsers, with every address in the secured domain. The refusal looks at the
// union of what any parser finds: a listed, enforcing domain for which the
// transaction is not secured refuses the message if its partner's rule is
// "refuse". The rule "dmarc" refuses too: it asks for a passing signature, and
// none has been shown. What is incomplete could name every domain: it is never
// marked, and refused for good.
func AlignFrom(f FromFacts, t Transaction) FromVerdict {
	if t.Exempt || t.Verdict.Action == ActionUpstream {
		return FromVerdict{}
	}
	if f.Incomplete {
		return FromVerdict{Refuse: true, Reasons: []Reason{FromMismatch}, Detail: "the From field names more domains than are looked at"}
	}
	secured := smtp.Domain("")
	if t.Verdict.Action == ActionSecure {
		secured = t.Verdict.Domain
	}
	v := FromVerdict{Unsecured: unsecuredDomains(f, t, secured)}
	if secured != "" && len(v.Unsecured) == 0 && aligned(f, secured) {
		v.Mark = secured
	}
	var permanent bool
	for _, d := range v.Unsecured {
		p := t.Partner(d)
		if p.FromAlignment == directory.FromUnmarked || p.FromAlignment == "" {
			continue
		}
		if p.Mode == directory.ModeTest {
			v.WouldRefuse = true
			continue
		}
		session := t.session(d)
		if session.Unmarked {
			continue // the partner's rules let it through without the mark
		}
		v.Refuse = true
		permanent = permanent || !session.Temporary
		v.Reasons = append(v.Reasons, session.Reasons...)
		if v.Detail == "" {
			v.Detail = fmt.Sprintf("the From field names %s, for which the transaction is not secured", d)
		}
	}
	v.Temporary = v.Refuse && !permanent
	if len(v.Unsecured) > 0 {
		v.Reasons = append(SortReasons(v.Reasons), FromMismatch)
		if v.Detail == "" {
			v.Detail = fmt.Sprintf("the From field names %s, for which the transaction is not secured", v.Unsecured[0])
		}
	}
	return v
}

// unsecuredDomains returns the listed domains that any parser finds in From and
// that the transaction is not secured for, each once.
func unsecuredDomains(f FromFacts, t Transaction, secured smtp.Domain) []smtp.Domain {
	if t.Partner == nil {
		return nil
	}
	var found []smtp.Domain
	for _, list := range [][]smtp.Domain{f.Union, f.Strict} {
		for _, d := range list {
			if d == "" || d == secured || slices.Contains(found, d) {
				continue
			}
			if p := t.Partner(d); p != nil && p.Receive {
				found = append(found, d)
			}
		}
	}
	return found
}

// aligned reports whether every address, however it is read, lies in d.
func aligned(f FromFacts, d smtp.Domain) bool {
	only := func(list []smtp.Domain) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(x smtp.Domain) bool { return x != d })
	}
	return f.Fields == 1 && f.StrictOK && only(f.Strict) && only(f.Union)
}

func (t *Transaction) session(d smtp.Domain) Verdict {
	if t.Session == nil {
		return Verdict{}
	}
	return t.Session(d)
}
