package certstore

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSubjectBytes bounds a subject name in its written form, in octets.
const maxSubjectBytes = 4096

// Subject is a distinguished name in the order in which it was written.
type Subject []Attribute

// Attribute is one relative distinguished name.
type Attribute struct {
	Key   string // C, DC, S, L, O, OU or CN
	Value string
}

// attributeRule is what a subject may say under one key.
type attributeRule struct {
	key   string
	oid   asn1.ObjectIdentifier
	limit int  // characters; of all values together where sum is set
	sum   bool // the limit is that of the sum
	many  bool // may stand more than once
	ascii bool
}

// attributeRules are in the order that is advised for a subject. Limits: RFC
// 5280, appendix A.1; DNS names have 255 octets (RFC 1035, section 2.3.4).
func attributeRules() []attributeRule {
	return []attributeRule{
		{key: "C", oid: asn1.ObjectIdentifier{2, 5, 4, 6}, limit: 2, ascii: true},
		{key: "DC", oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, limit: 255, sum: true, many: true, ascii: true},
		{key: "S", oid: asn1.ObjectIdentifier{2, 5, 4, 8}, limit: 128},
		{key: "L", oid: asn1.ObjectIdentifier{2, 5, 4, 7}, limit: 128},
		{key: "O", oid: asn1.ObjectIdentifier{2, 5, 4, 10}, limit: 64},
		{key: "OU", oid: asn1.ObjectIdentifier{2, 5, 4, 11}, limit: 64, many: true},
		{key: "CN", oid: asn1.ObjectIdentifier{2, 5, 4, 3}, limit: 64, many: true},
	}
}

func ruleOf(key string) (attributeRule, int) {
	key = strings.ToUpper(key)
	if key == "ST" { // its name in RFC 4519
		key = "S"
	}
	rules := attributeRules()
	i := slices.IndexFunc(rules, func(r attributeRule) bool { return r.key == key })
	if i < 0 {
		return attributeRule{}, -1
	}
	return rules[i], i
}

// subjectField is what faults of a subject are about.
const subjectField = "subjectName"

func subjectFault(problem, mend string) *Fault {
	return &Fault{Field: subjectField, Problem: problem, Mend: mend}
}

// ParseSubject reads a distinguished name: KEY=VALUE, separated by commas. Keys
// are C, DC, S (or ST), L, O, OU and CN in any case; spaces round = and commas
// do not count. A value with a comma in it stands in quotation marks, in which
// "" is one, or has a backslash before it. The error is a *Fault.
func ParseSubject(text string) (Subject, error) {
	switch {
	case len(text) > maxSubjectBytes:
		return nil, subjectFault(fmt.Sprintf("the name has more than %d octets", maxSubjectBytes), "Shorten it")
	case !utf8.ValidString(text):
		return nil, subjectFault("the name is not UTF-8", "Write it in UTF-8")
	case strings.TrimSpace(text) == "":
		return nil, subjectFault("the name is empty", `Write at least "CN=HOST"`)
	}
	var s Subject
	for rest := text; ; {
		var a Attribute
		var more bool
		var err error
		if a, rest, more, err = readAttribute(rest); err != nil {
			return nil, err
		}
		s = append(s, a)
		if !more {
			break
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// readAttribute reads one KEY=VALUE and says whether a comma follows.
func readAttribute(text string) (a Attribute, rest string, more bool, err error) {
	key, text, found := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	if !found {
		return a, "", false, subjectFault(fmt.Sprintf("%q is not of the form KEY=VALUE", cut(key)), `Write the name as "C=US, O=Contoso, CN=mail1.contoso.com"`)
	}
	rule, at := ruleOf(key)
	if at < 0 {
		return a, "", false, subjectFault(fmt.Sprintf("the key %q is not one of C, DC, S, L, O, OU, CN", cut(key)), "Use these keys; put a value with a comma in quotation marks")
	}
	a.Key = rule.key
	text = strings.TrimLeft(text, " \t")
	if strings.HasPrefix(text, `"`) {
		a.Value, rest, more, err = readQuoted(text[1:], rule.key)
	} else {
		a.Value, rest, more, err = readPlain(text, rule.key)
	}
	return a, rest, more, err
}

// readQuoted reads up to the closing quotation mark and the comma behind it.
func readQuoted(text, key string) (value, rest string, more bool, err error) {
	var b strings.Builder
	for {
		before, after, closed := strings.Cut(text, `"`)
		if !closed {
			return "", "", false, subjectFault("the quotation marks of "+key+" are not closed", `Write "" for a quotation mark inside the value`)
		}
		b.WriteString(before)
		if text = after; !strings.HasPrefix(text, `"`) {
			break
		}
		b.WriteByte('"')
		text = text[1:]
	}
	text = strings.TrimLeft(text, " \t")
	if text == "" {
		return b.String(), "", false, nil
	}
	if text[0] != ',' {
		return "", "", false, subjectFault("text follows the quotation marks of "+key, "Put a comma between two parts of the name")
	}
	return b.String(), text[1:], true, nil
}

// readPlain reads up to the next comma that has no backslash before it.
func readPlain(text, key string) (value, rest string, more bool, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ',':
			v := strings.TrimRight(b.String(), " \t")
			return v, text[i+1:], true, missingComma(v, key)
		case '\\':
			if i+1 == len(text) {
				return "", "", false, subjectFault("a backslash ends the value of "+key, `Write \\ for a backslash`)
			}
			i++
			b.WriteByte(text[i])
		case '"', ';', '+', '<', '>':
			return "", "", false, subjectFault(fmt.Sprintf("the value of %s holds %q outside quotation marks", key, c), "Put the value in quotation marks; a name of several values in one part is not made here")
		default:
			b.WriteByte(c)
		}
	}
	v := strings.TrimRight(b.String(), " \t")
	return v, "", false, missingComma(v, key)
}

// missingComma finds "US o=contoso corp", in which a comma was forgotten.
func missingComma(value, key string) error {
	for i, c := range value {
		if c != '=' {
			continue
		}
		before := strings.TrimRight(value[:i], " \t")
		word := before[strings.LastIndexAny(before, " \t")+1:]
		if _, at := ruleOf(word); at >= 0 && len(word) < len(before) {
			return subjectFault(fmt.Sprintf("the value of %s holds another part, %q", key, word+"="), "Put a comma before "+word+"=, or the value in quotation marks")
		}
	}
	return nil
}

// check holds a name to the rules of its attributes.
func (s Subject) check() error {
	sums := map[string]int{}
	counts := map[string]int{}
	for _, a := range s {
		r, _ := ruleOf(a.Key)
		n := utf8.RuneCountInString(a.Value)
		sums[a.Key] += n
		counts[a.Key]++
		switch {
		case a.Value == "":
			return subjectFault(a.Key+" has no value", "Write one, or leave "+a.Key+" out")
		case strings.ContainsFunc(a.Value, unicode.IsControl):
			return subjectFault(a.Key+" holds a control character", "Take it out")
		case r.ascii && strings.ContainsFunc(a.Value, func(c rune) bool { return c >= utf8.RuneSelf }):
			return subjectFault(a.Key+" may hold ASCII only", "Write the A-label of an internationalised domain")
		case a.Key == "C" && (n != 2 || strings.Trim(strings.ToUpper(a.Value), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
			return subjectFault("C must be a country's two letters (ISO 3166-1)", "Write C=US, say")
		case r.sum && sums[a.Key] > r.limit:
			return subjectFault(fmt.Sprintf("all %s together have more than %d characters", a.Key, r.limit), "Shorten them")
		case n > r.limit:
			return subjectFault(fmt.Sprintf("%s has %d characters; %d are the limit", a.Key, n, r.limit), longMend(a.Key))
		case !r.many && counts[a.Key] > 1:
			return subjectFault(a.Key+" stands more than once", "Write it once")
		}
	}
	return nil
}

func longMend(key string) string {
	if key == "CN" {
		return "Put the long name among the domain names and a shorter one into CN"
	}
	return "Shorten it"
}

// Advice returns what is unwise about a name without being wrong.
func (s Subject) Advice() []string {
	var out []string
	counts := map[string]int{}
	last, inOrder := 0, true
	for _, a := range s {
		counts[a.Key]++
		_, at := ruleOf(a.Key)
		inOrder = inOrder && at >= last
		last = max(last, at)
	}
	if counts["CN"] > 1 {
		out = append(out, "the subject has more than one CN; some software reads only one")
	}
	if counts["C"] > 0 && counts["DC"] > 0 {
		out = append(out, "the subject has C and DC; by convention it has one or the other")
	}
	if !inOrder {
		out = append(out, "the usual order of a subject is C, DC, S, L, O, OU, CN")
	}
	return out
}

// CommonName returns the last CN, or "".
func (s Subject) CommonName() string {
	for _, a := range slices.Backward(s) {
		if a.Key == "CN" {
			return a.Value
		}
	}
	return ""
}

// String returns the name in a form that ParseSubject reads back.
func (s Subject) String() string {
	parts := make([]string, len(s))
	for i, a := range s {
		v := a.Value
		if strings.ContainsAny(v, `",;+<>\=`) || strings.TrimSpace(v) != v {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		parts[i] = a.Key + "=" + v
	}
	return strings.Join(parts, ", ")
}

// der encodes the name, one attribute in each part, in the order written.
func (s Subject) der() ([]byte, error) {
	seq := make(pkix.RDNSequence, len(s))
	for i, a := range s {
		r, _ := ruleOf(a.Key)
		var value any = a.Value // PrintableString where that will do, else UTF8String
		if a.Key == "DC" {
			value = asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(a.Value)} // RFC 4519, section 2.4
		}
		seq[i] = pkix.RelativeDistinguishedNameSET{{Type: r.oid, Value: value}}
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		return nil, fmt.Errorf("encoding the subject: %w", err)
	}
	return der, nil
}

// subjectOf reads an encoded name back, leaving out what the rules do not know.
func subjectOf(name pkix.Name) Subject {
	var s Subject
	for _, n := range name.Names {
		for _, r := range attributeRules() {
			if v, ok := n.Value.(string); ok && r.oid.Equal(n.Type) && v != "" {
				s = append(s, Attribute{Key: r.key, Value: v})
			}
		}
	}
	return s
}

// cut shortens what somebody wrote for a message.
func cut(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
