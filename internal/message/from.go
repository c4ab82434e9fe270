package message

import (
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// From returns what the From fields name, read strictly and by the most
// tolerant parser that can be imagined.
//
// Fields counts every element that some parser could take for a From field.
// Strict has the domains that RFC 5322's mailbox-list, with RFC 6854's groups,
// finds, in order and without repetition; StrictOK says that there was at least
// one address and that each element kept to that grammar, obsolete forms
// excluded, with a domain (not an address literal) in every address. Union
// contains Strict and every domain that follows an "@" anywhere in a From
// field: in display names, comments, quoted strings, encoded words, behind
// further "@" signs and across folds. It is meant to be larger than what any
// one parser sees. Where there is more of that than a header ever needs, it is
// left at a part, and Incomplete says so.
func (h *Header) From() domainsec.FromFacts {
	r := fromReader{facts: domainsec.FromFacts{StrictOK: true}, candidates: candidates{left: conversionBudget}}
	for _, f := range h.fields {
		if !f.odd && !canBeFrom(f.raw) {
			continue
		}
		if isFrom(f) {
			r.add(f)
		}
		f.hidden(func(p Field) bool {
			if isFrom(p) {
				r.add(p)
				// p reaches to the end of the element, as do the
				// parts after it: the union has them already.
				r.facts.Fields++
				r.facts.StrictOK = false
				return false
			}
			return true
		})
	}
	facts := r.facts
	facts.Strict, facts.Union, facts.Incomplete = r.strict.list, r.union.list, r.candidates.short
	if len(facts.Strict) == 0 || facts.Incomplete {
		facts.StrictOK = false
	}
	return facts
}

// fromReader collects what the From fields of a header name.
type fromReader struct {
	facts         domainsec.FromFacts
	strict, union domainSet
	candidates    candidates
}

// canBeFrom is the quick look at the first octets of an element.
func canBeFrom(raw []byte) bool {
	c := raw[0]
	if c|0x20 == 'f' || c <= ' ' || c >= 0x7f {
		return true
	}
	return canBeRemoved(raw) && (Field{raw: raw, colon: colonOf(raw)}).malformed()
}

func colonOf(raw []byte) int {
	for i, c := range raw {
		if c == ':' {
			return i
		}
	}
	return -1
}

// isFrom reports whether some parser could take f for a From field; the
// envelope line of mbox files, "From x@example date", is one too.
func isFrom(f Field) bool {
	if f.Is("from") {
		return true
	}
	region := f.raw
	if f.colon >= 0 {
		region = f.raw[:f.colon]
	}
	var b [maxSqueezed]byte
	return string(squeeze(&b, firstToken(region))) == "from"
}

// add adds what one From field names.
func (r *fromReader) add(f Field) {
	r.facts.Fields++
	body := f.Body()
	proper := f.Is("from") && !f.malformed()
	if !f.Is("from") {
		body = f.raw // there is no telling where a value begins
	}
	var domains []smtp.Domain
	ok := false
	if proper {
		domains, ok = strictDomains(body)
	}
	r.facts.StrictOK = r.facts.StrictOK && ok
	for _, d := range domains {
		r.strict.add(d)
		r.union.add(d)
	}
	if ok && plain(body, len(domains)) {
		return // nothing there that a tolerant parser could read otherwise
	}
	lenientDomains(string(body), &r.candidates, r.union.add)
}

// plain reports whether a body that has been parsed strictly leaves nothing to
// interpretation: ASCII, one "@" for each address, no comment, no encoded word.
func plain(body []byte, addresses int) bool {
	at := 0
	for i, c := range body {
		switch {
		case c == '@':
			at++
		case c == '(' || c == '\\' || c >= 0x7f:
			return false
		case c == '=' && i+1 < len(body) && body[i+1] == '?':
			return false
		}
	}
	return at == addresses
}

// domainSet holds domains in order and without repetition. Adding to it takes
// the same time however many there are, because a header has room for thousands
// of From fields.
type domainSet struct {
	list []smtp.Domain
	seen map[smtp.Domain]struct{} // of list, once that is no longer short
}

// maxScanned is how long a domainSet's list is searched without a map: nearly
// every message names one domain.
const maxScanned = 8

func (s *domainSet) add(d smtp.Domain) {
	if s.seen == nil {
		for _, x := range s.list {
			if x == d {
				return
			}
		}
		s.list = append(s.list, d)
		if len(s.list) > maxScanned {
			s.seen = make(map[smtp.Domain]struct{}, 2*len(s.list))
			for _, x := range s.list {
				s.seen[x] = struct{}{}
			}
		}
		return
	}
	if _, known := s.seen[d]; known {
		return
	}
	s.seen[d] = struct{}{}
	s.list = append(s.list, d)
}
