package rfc5280

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	encoding "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/domainsec/dn"
)

// maxComparisons bounds how often a name is compared with a constraint in one
// path: a path that needs more is refused.
const maxComparisons = 50_000

// Forms of GeneralName, by the number of their choice (RFC 5280, section 4.2.1.6).
const (
	formEmail     = 1
	formDNS       = 2
	formDirectory = 4
	formURI       = 6
	formIP        = 7
)

// subtree is one base of name constraints.
type subtree struct {
	form  int
	text  string  // of e-mail, DNS and URI constraints, in lower case
	name  dn.Name // of directory name constraints
	block *net.IPNet
}

// constraints are a CA's permitted and excluded subtrees.
type constraints struct{ permitted, excluded []subtree }

func nameConstraints(c *x509.Certificate) (*constraints, error) {
	value := extension(c, oidNameConstraints)
	if value == nil {
		return nil, nil //nolint:nilnil // no constraints is no fault
	}
	var all cryptobyte.String
	in := cryptobyte.String(value)
	if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() {
		return nil, errConstraints
	}
	found := &constraints{}
	for _, side := range []struct {
		tag  uint8
		into *[]subtree
	}{{0, &found.permitted}, {1, &found.excluded}} {
		var list cryptobyte.String
		var present bool
		if !all.ReadOptionalASN1(&list, &present, asn1.Tag(side.tag).Constructed().ContextSpecific()) {
			return nil, errConstraints
		}
		for !list.Empty() {
			t, err := readSubtree(&list)
			if err != nil {
				return nil, err
			}
			*side.into = append(*side.into, t)
		}
	}
	if !all.Empty() {
		return nil, errConstraints
	}
	return found, nil
}

var errConstraints = errors.New("its name constraints cannot be read")

func readSubtree(list *cryptobyte.String) (subtree, error) {
	var all, base cryptobyte.String
	var tag asn1.Tag
	if !list.ReadASN1(&all, asn1.SEQUENCE) || !all.ReadAnyASN1(&base, &tag) {
		return subtree{}, errConstraints
	}
	if !all.Empty() { // minimum, which is 0 and so left away in DER, or maximum
		return subtree{}, errors.New("it has a name constraint with a distance, which RFC 5280 forbids")
	}
	t := subtree{form: int(tag & 0x1f)}
	switch t.form {
	case formEmail, formDNS, formURI:
		t.text = strings.ToLower(string(base))
		if !isComparable(t.form, t.text) {
			return subtree{}, fmt.Errorf("it has a name constraint that no name can be compared with: %q", t.text)
		}
	case formDirectory:
		var err error
		if t.name, err = dn.Parse(base); err != nil {
			return subtree{}, fmt.Errorf("its name constraints: %w", err)
		}
	case formIP:
		half := len(base) / 2
		t.block = &net.IPNet{IP: net.IP(base[:half]), Mask: net.IPMask(base[half:])}
		if _, bits := t.block.Mask.Size(); len(base) != 8 && len(base) != 32 || bits == 0 {
			return subtree{}, errors.New("it has a name constraint on addresses without a proper mask")
		}
	}
	return t, nil
}

// isComparable reports whether the lower-case text of a constraint has a form that
// names are compared with: a host, or a domain with a leading dot, or nothing;
// on mailboxes, also a mailbox. An exclusion of any other form would exclude nothing.
func isComparable(form int, text string) bool {
	if i := strings.LastIndexByte(text, '@'); i > 0 && form == formEmail {
		return dnsName(text[i+1:])
	}
	text = strings.TrimPrefix(text, ".")
	return text == "" || text[0] != '*' && dnsName(text)
}

// names are what constraints bind of one certificate.
type names struct {
	subject   dn.Name
	emails    []string
	hosts     []string
	addresses []net.IP
	uris      []string
	directory []dn.Name
	others    map[int]bool // forms that are there and cannot be compared
}

// namesOf gathers the names of c. The CN of the last certificate, where a host
// name stands in for a missing DNS name, counts as one.
func namesOf(c *x509.Certificate, commonName string) (*names, error) {
	n := &names{emails: c.EmailAddresses, hosts: c.DNSNames, addresses: c.IPAddresses, others: map[int]bool{}}
	var err error
	if n.subject, err = dn.Parse(c.RawSubject); err != nil {
		return nil, fmt.Errorf("its subject: %w", err)
	}
	if !n.subject.Empty() {
		n.directory = append(n.directory, n.subject)
	}
	if len(n.emails) == 0 {
		n.emails = n.subject.Emails()
	}
	if len(n.hosts) == 0 && commonName != "" {
		n.hosts = []string{commonName}
	}
	for _, u := range c.URIs {
		n.uris = append(n.uris, u.Host)
	}
	value := extension(c, oidSubjectAltName)
	if value == nil {
		return n, nil
	}
	var all cryptobyte.String
	in := cryptobyte.String(value)
	if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() {
		return nil, errors.New("its alternative names cannot be read")
	}
	for !all.Empty() {
		var one cryptobyte.String
		var tag asn1.Tag
		if !all.ReadAnyASN1(&one, &tag) {
			return nil, errors.New("its alternative names cannot be read")
		}
		switch form := int(tag & 0x1f); form {
		case formEmail, formDNS, formURI, formIP:
		case formDirectory:
			d, err := dn.Parse(one)
			if err != nil {
				return nil, fmt.Errorf("its alternative names: %w", err)
			}
			n.directory = append(n.directory, d)
		default:
			n.others[form] = true
		}
	}
	return n, nil
}

// budget counts down comparisons.
type budget struct{ left int }

var errBudget = fmt.Errorf("its names and constraints need more than %d comparisons", maxComparisons)

// allow says why the constraints do not allow the names; nil when they do.
func (c *constraints) allow(n *names, b *budget) error {
	for form := range n.others {
		for _, list := range [][]subtree{c.permitted, c.excluded} {
			for i := range list {
				if list[i].form == form {
					return fmt.Errorf("its names of type %d are constrained, and such names cannot be compared", form)
				}
			}
		}
	}
	for _, x := range n.emails {
		if err := c.allowOne(formEmail, x, b, func(t *subtree, _ bool) (bool, error) { return emailWithin(x, t.text) }); err != nil {
			return err
		}
	}
	for _, x := range n.hosts {
		host := strings.ToLower(strings.TrimSuffix(x, "."))
		if err := c.allowOne(formDNS, x, b, func(t *subtree, excluded bool) (bool, error) {
			if !dnsName(host) {
				return false, errors.New("it is no DNS name")
			}
			return hostWithin(host, t.text, excluded), nil
		}); err != nil {
			return err
		}
	}
	for _, x := range n.uris {
		if err := c.allowOne(formURI, x, b, func(t *subtree, _ bool) (bool, error) { return uriWithin(x, t.text) }); err != nil {
			return err
		}
	}
	for _, x := range n.addresses {
		if err := c.allowOne(formIP, x.String(), b, func(t *subtree, _ bool) (bool, error) { return addressWithin(x, t.block), nil }); err != nil {
			return err
		}
	}
	for _, x := range n.directory {
		if err := c.allowOne(formDirectory, "subject", b, func(t *subtree, _ bool) (bool, error) { return x.Within(t.name), nil }); err != nil {
			return err
		}
	}
	return nil
}

// allowOne compares one name with the subtrees of its form.
func (c *constraints) allowOne(form int, name string, b *budget, within func(t *subtree, excluded bool) (bool, error)) error {
	asked, permitted := false, false
	for side, list := range [][]subtree{c.permitted, c.excluded} {
		for i := range list {
			t := &list[i]
			if t.form != form {
				continue
			}
			if b.left--; b.left < 0 {
				return errBudget
			}
			in, err := within(t, side == 1)
			switch {
			case err != nil:
				return fmt.Errorf("its name %q cannot be compared with a constraint: %w", name, err)
			case side == 1 && in:
				return fmt.Errorf("its name %q is excluded", name)
			case side == 0:
				asked, permitted = true, permitted || in
			}
		}
	}
	if asked && !permitted {
		return fmt.Errorf("its name %q is not permitted", name)
	}
	return nil
}

// hostWithin compares a lower-case DNS name: it is the constraint, or ends in it
// at a label. A leading dot in the constraint, which is common, asks for at
// least one label more. A wildcard is permitted when all that it stands for is,
// and excluded when anything is.
func hostWithin(host, constraint string, excluded bool) bool {
	rest, wild := strings.CutPrefix(host, "*.")
	if wild {
		host = "*." + rest
		if excluded && strings.HasSuffix(strings.TrimPrefix(constraint, "."), "."+rest) {
			return true
		}
	}
	switch {
	case constraint == "":
		return true
	case constraint[0] == '.':
		return strings.HasSuffix(host, constraint)
	case wild && rest == constraint:
		return true
	default:
		return host == constraint || strings.HasSuffix(host, "."+constraint)
	}
}

// dnsName reports whether a lower-case name has the form of one that constraints
// are compared with: labels that are not empty, the first of which may be a wildcard.
func dnsName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// emailWithin compares a mailbox with a mailbox, a host, or a domain with a
// leading dot, below which all hosts lie.
func emailWithin(mailbox, constraint string) (bool, error) {
	at := strings.LastIndexByte(mailbox, '@')
	if at <= 0 || mailbox[0] != '"' && strings.IndexByte(mailbox, '@') != at || !dnsName(strings.ToLower(mailbox[at+1:])) {
		return false, errors.New("it is no mailbox")
	}
	host := strings.ToLower(mailbox[at+1:])
	if i := strings.LastIndexByte(constraint, '@'); i >= 0 {
		// The local part has a case, of which the constraint's was folded:
		// what differs by it alone is told apart by nobody.
		return strings.ToLower(mailbox[:at]) == constraint[:i] && host == constraint[i+1:], nil
	}
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(host, constraint), nil
	}
	return constraint == "" || host == constraint, nil
}

// uriWithin compares the host of a URI, which must have one that is a name.
func uriWithin(authority, constraint string) (bool, error) {
	host := strings.ToLower(authority)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(host, ".")
	if !dnsName(host) || host[0] == '*' || net.ParseIP(host) != nil {
		return false, errors.New("it has no host name")
	}
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(host, constraint), nil
	}
	return constraint == "" || host == constraint, nil
}

func addressWithin(ip net.IP, block *net.IPNet) bool {
	if v4 := ip.To4(); v4 != nil && len(ip) == net.IPv4len {
		ip = v4
	}
	if len(ip) != len(block.IP) {
		if v4 := ip.To4(); v4 != nil && len(block.IP) == net.IPv4len {
			ip = v4
		} else {
			return false
		}
	}
	for i := range ip {
		if ip[i]&block.Mask[i] != block.IP[i]&block.Mask[i] {
			return false
		}
	}
	return true
}

// The extensions read here.
const (
	oidKeyUsage         = "2.5.29.15"
	oidSubjectAltName   = "2.5.29.17"
	oidNameConstraints  = "2.5.29.30"
	oidExtendedKeyUsage = "2.5.29.37"
)

// Processes reports whether Check processes an extension that crypto/x509 leaves
// to others when it is critical: name constraints of any form.
func Processes(oid encoding.ObjectIdentifier) bool { return oid.String() == oidNameConstraints }

// extension returns the value of c's extension with the dotted OID, or nil.
func extension(c *x509.Certificate, oid string) []byte {
	for i := range c.Extensions {
		if c.Extensions[i].Id.String() == oid {
			return bytes.Clone(c.Extensions[i].Value)
		}
	}
	return nil
}
