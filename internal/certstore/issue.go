package certstore

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// Limits of what can be asked for.
const (
	maxNames             = 100 // domain names in one certificate
	maxFriendlyNameRunes = 63  // characters
)

// defaultFriendlyName is what a certificate is called whose maker gave no name.
const defaultFriendlyName = "Mailpact"

// IssueOptions say what a new certificate or request is to hold.
type IssueOptions struct {
	// Subject is a distinguished name (see ParseSubject); empty: that of the
	// template, else CN= with the first of Names.
	Subject string
	// Names are host names, with or without a wildcard as their first label;
	// empty: those of the template. The subject's CN is added, if it is one.
	Names []string
	// Template is the thumbprint of one of our certificates, whose subject,
	// names, friendly name and kind of key are taken where nothing else is
	// said. The key itself is always new.
	Template     string
	FriendlyName string // at most 63 characters; empty: the template's, else Mailpact
	Key          string // see ParseKeyKind; empty: the template's, else P256
	Exportable   bool   // whether the key may be exported
	// Services are what a self-signed certificate is enabled for; not for requests.
	Services []directory.Service
}

// issue is an IssueOptions that has been looked through.
type issue struct {
	rawSubject   []byte
	names        []string
	friendlyName string
	kind         KeyKind
	advice       []string
}

// prepare checks o. Its errors are Faults.
func (s *Store) prepare(o IssueOptions) (*issue, error) {
	var template *Certificate
	if o.Template != "" {
		var err error
		if template, err = s.Find(o.Template); err != nil {
			return nil, err
		}
	}
	p := &issue{friendlyName: o.FriendlyName}
	if err := p.takeNames(o, template); err != nil {
		return nil, err
	}
	if err := p.takeSubject(o, template); err != nil {
		return nil, err
	}
	if len(p.names) == 0 {
		return nil, &Fault{Field: "domainNames", Problem: "there is no host name for the certificate", Mend: "Give at least one with --domain"}
	}
	if len(p.names) > maxNames {
		return nil, &Fault{Field: "domainNames", Problem: fmt.Sprintf("there are %d names; %d are the limit", len(p.names), maxNames), Mend: "Make two certificates, or use a wildcard"}
	}
	if p.friendlyName == "" && template != nil {
		p.friendlyName = template.FriendlyName
	}
	var err error
	if p.friendlyName, err = checkFriendlyName(p.friendlyName); err != nil {
		return nil, err
	}
	if p.kind, err = ParseKeyKind(o.Key); err != nil {
		return nil, err
	}
	if o.Key == "" && template != nil {
		p.kind = kindOf(template.TLS.Leaf.PublicKey)
	}
	return p, nil
}

func (p *issue) takeNames(o IssueOptions, template *Certificate) error {
	for _, n := range o.Names {
		name, err := hostName(n)
		if err != nil {
			return err
		}
		p.addName(name)
	}
	if len(o.Names) == 0 && template != nil {
		for _, n := range template.Names() {
			p.addName(n)
		}
	}
	return nil
}

func (p *issue) addName(n string) {
	if !slices.Contains(p.names, n) {
		p.names = append(p.names, n)
	}
}

func (p *issue) takeSubject(o IssueOptions, template *Certificate) error {
	subject := Subject{}
	switch {
	case o.Subject != "":
		var err error
		if subject, err = ParseSubject(o.Subject); err != nil {
			return err
		}
	case template != nil:
		p.rawSubject = template.TLS.Leaf.RawSubject
		return nil
	case len(p.names) > 0:
		// RFC 5280, appendix A.1: a CN has at most 64 characters.
		cn := defaultFriendlyName
		if i := slices.IndexFunc(p.names, func(n string) bool { return len(n) <= 64 }); i >= 0 {
			cn = p.names[i]
		}
		subject = Subject{{Key: "CN", Value: cn}}
	}
	p.advice = subject.Advice()
	if cn := strings.ToLower(subject.CommonName()); isHostName(cn) && strings.Contains(cn, ".") {
		if !slices.Contains(p.names, cn) {
			p.names = append([]string{cn}, p.names...) // clients look among the names only (RFC 9525, section 2)
		}
	} else if o.Subject != "" {
		p.advice = append(p.advice, "the subject's CN is no host name; only the domain names count")
	}
	var err error
	p.rawSubject, err = subject.der()
	return err
}

// hostName brings a host name or wildcard into its one form.
func hostName(n string) (string, error) {
	bare, wild := strings.CutPrefix(strings.TrimSpace(n), "*.")
	d, err := smtp.ParseDomain(bare)
	if err != nil {
		return "", &Fault{Field: "domainNames", Problem: fmt.Sprintf("%q is no host name", cut(n)), Mend: "Write a name like mail.contoso.com or *.contoso.com", Err: err}
	}
	if wild {
		return "*." + string(d), nil
	}
	return string(d), nil
}

func checkFriendlyName(n string) (string, error) {
	switch {
	case n == "":
		return defaultFriendlyName, nil
	case !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl):
		return "", &Fault{Field: "friendlyName", Problem: "the friendly name holds control characters or is not UTF-8", Mend: "Write plain text"}
	case utf8.RuneCountInString(n) > maxFriendlyNameRunes:
		return "", &Fault{Field: "friendlyName", Problem: fmt.Sprintf("the friendly name has more than %d characters", maxFriendlyNameRunes), Mend: "Shorten it"}
	}
	return n, nil
}

// NewSelfSigned makes a certificate of 12 months that is signed with its own
// key. It returns what is unwise about it, too. Errors of type *Fault are the
// caller's.
func (s *Store) NewSelfSigned(o IssueOptions) (*Certificate, []string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.prepare(o)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.makeSelfSigned(managedPrefix, p, metadata{FriendlyName: p.friendlyName, Services: o.Services, Exportable: o.Exportable})
	if err != nil {
		return nil, nil, err
	}
	return c, p.advice, nil
}

// NewRequest makes a key and a PKCS #10 request (RFC 2986) for it, which waits
// until its answer is imported. It returns what is unwise about it, too. Errors
// of type *Fault are the caller's.
func (s *Store) NewRequest(o IssueOptions) (*Pending, []string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.prepare(o)
	if err != nil {
		return nil, nil, err
	}
	key, err := p.kind.generate()
	if err != nil {
		return nil, nil, err
	}
	extensions, err := requestExtensions(key.Public())
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: p.rawSubject, DNSNames: p.names, ExtraExtensions: extensions,
	}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the request: %w", err)
	}
	now := s.now()
	base, err := s.newBase(managedPrefix, key.Public(), now)
	if err != nil {
		return nil, nil, err
	}
	if err := s.writeKey(base, key); err != nil {
		return nil, nil, err
	}
	if err := writeMetadata(base, metadata{FriendlyName: p.friendlyName, Exportable: o.Exportable, Created: now.UTC()}); err != nil {
		return nil, nil, err
	}
	if err := directory.WriteFile(base+requestExtension, pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: der})); err != nil {
		return nil, nil, err
	}
	if err := s.refresh(); err != nil {
		return nil, nil, err
	}
	for _, made := range s.Pending() {
		if made.base == base {
			return made, p.advice, nil
		}
	}
	return nil, nil, errors.New("reading the new request back: it is not there")
}

// requestExtensions ask for the uses of a mail server: both ends of TLS.
func requestExtensions(public crypto.PublicKey) ([]pkix.Extension, error) {
	usage := asn1.BitString{Bytes: []byte{0x80}, BitLength: 1} // digitalSignature
	if _, ok := public.(*rsa.PublicKey); ok {
		usage = asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3} // and keyEncipherment
	}
	keyUsage, err := asn1.Marshal(usage)
	if err != nil {
		return nil, fmt.Errorf("encoding the key usage: %w", err)
	}
	purposes, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}, {1, 3, 6, 1, 5, 5, 7, 3, 2}})
	if err != nil {
		return nil, fmt.Errorf("encoding the purposes: %w", err)
	}
	return []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: keyUsage},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: purposes},
	}, nil
}

// makeSelfSigned writes a new certificate. The key comes first: a certificate
// without its key would be a fault, a key without certificate is merely unused.
// What was written is what is used: one that cannot be read back must not come
// to light at the next start.
func (s *Store) makeSelfSigned(prefix string, p *issue, m metadata) (*Certificate, error) {
	key, err := p.kind.generate()
	if err != nil {
		return nil, err
	}
	now := s.now()
	x, err := selfSign(p, now, key)
	if err != nil {
		return nil, err
	}
	base, err := s.newBase(prefix, key.Public(), now)
	if err != nil {
		return nil, err
	}
	m.Created = now.UTC()
	return s.add(base, key, []*x509.Certificate{x}, m)
}

// add writes a certificate's files and returns it as read back from them.
func (s *Store) add(base string, key crypto.Signer, chain []*x509.Certificate, m metadata) (*Certificate, error) {
	if err := s.writeKey(base, key); err != nil {
		return nil, err
	}
	return s.complete(base, chain, m)
}

// complete writes what is missing beside a key.
func (s *Store) complete(base string, chain []*x509.Certificate, m metadata) (*Certificate, error) {
	if err := writeMetadata(base, m); err != nil {
		return nil, err
	}
	if err := writeChain(base, chain); err != nil {
		return nil, err
	}
	return s.readBack(base)
}

// readBack refreshes the store and returns the certificate of base.
func (s *Store) readBack(base string) (*Certificate, error) {
	if err := s.refresh(); err != nil {
		return nil, err
	}
	for _, c := range s.All() {
		if c.base == base {
			return c, nil
		}
	}
	for _, d := range s.current.Load().damaged {
		if strings.HasPrefix(d.File, base) {
			return nil, d
		}
	}
	return nil, fmt.Errorf("reading %s back: it is not there", base)
}

// selfSign makes a certificate of 12 months, signed with its own key.
func selfSign(p *issue, now time.Time, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	from := now.UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)), // RFC 5280, section 4.1.2.2: not zero
		RawSubject:            p.rawSubject,
		DNSNames:              p.names,
		NotBefore:             from.Add(-clockSkew),
		NotAfter:              from.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          id[:20],
	}
	if _, ok := key.(*rsa.PrivateKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the new certificate back: %w", err)
	}
	return x, nil
}

// keyID returns the SHA-256 of a public key.
func keyID(public crypto.PublicKey) ([sha256.Size]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encoding the public key: %w", err)
	}
	return sha256.Sum256(spki), nil
}
