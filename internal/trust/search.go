package trust

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/domainsec/dn"
)

// foundChain is a chain of right signatures that ends in an anchor.
type foundChain struct {
	elements []*x509.Certificate
	public   bool
	faults   pathFaults // what is wrong with it
}

// checked is a certificate and the public key with which its signature was
// verified: a CA's key is the same in all its cross-certificates.
type checked struct {
	child *x509.Certificate
	key   string
}

// deadEnd is a chain above whose last element nothing was found.
type deadEnd struct {
	elements []*x509.Certificate
	detail   string
	tooLong  bool // a path longer than any that counts
}

// link is one signature: a certificate, and one that it is verified with, on
// paths of a kind.
type link struct {
	child, parent *x509.Certificate
	kind          string
}

// search walks from the leaf to all anchors, depth first. Every signature is
// verified once, however many paths it lies on.
//
// All combinations are walked and judged, up to maxSearchSteps, but not all are
// kept: beyond maxPaths a good path is kept only if it has a link that no good
// path of its kind before it has, so that every certificate which may turn out to
// be revoked is asked about, with every key that may have signed it. Paths of a kind
// have the same anchor, purposes and certificates of the store, by which scopes and
// partners tell them apart.
type search struct {
	ctx     context.Context
	request BuildRequest
	issuers []*x509.Certificate // of the store, then presented, each once

	names      map[string]string // comparable forms by DER, see nameKey
	signatures map[checked]error // nil: right
	roots      map[*x509.Certificate][]*x509.Certificate
	rooted     map[*x509.Certificate]bool // see findRooted
	checks     int
	strangers  int // checks with keys that nobody vouches for
	steps      int

	found   []foundChain
	good    int // of those found
	links   map[link]bool
	dead    []deadEnd
	overrun string // which bound was exceeded
}

func newSearch(ctx context.Context, r BuildRequest) *search {
	s := &search{
		ctx:        ctx,
		request:    r,
		names:      map[string]string{},
		signatures: map[checked]error{},
		roots:      map[*x509.Certificate][]*x509.Certificate{},
		rooted:     map[*x509.Certificate]bool{},
		links:      map[link]bool{},
	}
	seen := map[[32]byte]bool{signedID(r.Presented[0]): true}
	for _, a := range r.Anchors {
		// A root that the peer sends along is no way to itself.
		if a.Issuer && selfIssued(a.Certificate) {
			seen[signedID(a.Certificate)] = true
		}
	}
	for _, list := range [][]*x509.Certificate{r.Intermediates, r.Presented[1:]} {
		for _, c := range list {
			if id := signedID(c); !seen[id] {
				seen[id] = true
				s.issuers = append(s.issuers, c)
			}
		}
	}
	return s
}

// issued reports whether parent has the name of child's issuer.
func (s *search) issued(parent, child *x509.Certificate) bool {
	return bytes.Equal(child.RawIssuer, parent.RawSubject) || s.nameKey(child.RawIssuer) == s.nameKey(parent.RawSubject)
}

// nameKey is dn.Key, remembered.
func (s *search) nameKey(der []byte) string {
	key, known := s.names[string(der)]
	if !known {
		key = dn.Key(der)
		s.names[string(der)] = key
	}
	return key
}

// visit extends the chain, whose signatures are right so far, in every way.
func (s *search) visit(chain []*x509.Certificate) {
	s.steps++
	switch {
	case s.overrun != "":
		return
	case s.steps > maxSearchSteps:
		s.overrun = fmt.Sprintf("more than %d ways to combine the certificates", maxSearchSteps)
		return
	case s.ctx.Err() != nil:
		s.overrun = "path building was interrupted"
		return
	}
	tip := chain[len(chain)-1]
	if len(chain) == 1 {
		s.leafAsAnchor(tip)
	}
	before := len(s.found)
	if len(chain) < maxPathElements {
		s.anchorsAbove(chain)
	}
	var why string
	extended := false
	for _, parent := range s.issuers {
		if !s.issued(parent, tip) || s.inChain(parent, chain) {
			continue
		}
		if !s.worthChecking(tip, parent) {
			why = fmt.Sprintf("%s: its issuer %s leads to no trust anchor", certificateLabel(tip), certificateLabel(parent))
			continue
		}
		if err := s.signature(tip, parent); err != nil {
			why = fmt.Sprintf("%s: not signed by %s: %v", certificateLabel(tip), certificateLabel(parent), err)
			continue
		}
		if len(chain) >= maxPathElements-1 {
			// Whether a path is too long does not depend on what else was
			// presented: leaving it out hides nothing.
			s.endDead(deadEnd{elements: chain, detail: fmt.Sprintf("a path of more than %d certificates", maxPathElements), tooLong: true})
			extended = true
			continue
		}
		extended = true
		s.visit(append(chain[:len(chain):len(chain)], parent))
	}
	if extended || len(s.found) > before || s.overrun != "" {
		return
	}
	s.endDead(deadEnd{elements: chain, detail: s.whyDead(tip, why)})
}

// endDead keeps the first dead ends for the report; there may be a great many.
func (s *search) endDead(d deadEnd) {
	if len(s.dead) < maxPaths {
		s.dead = append(s.dead, d)
	}
}

// leafAsAnchor finds the leaf that an administrator trusts by itself.
func (s *search) leafAsAnchor(leaf *x509.Certificate) {
	for _, a := range s.request.Anchors {
		if bytes.Equal(a.Certificate.Raw, leaf.Raw) {
			s.add(foundChain{elements: []*x509.Certificate{leaf}})
			return
		}
	}
}

// anchorsAbove adds the chains that end with an anchor which signed the tip.
func (s *search) anchorsAbove(chain []*x509.Certificate) {
	tip := chain[len(chain)-1]
	for _, a := range s.request.Anchors {
		c := a.Certificate
		if a.Issuer && s.issued(c, tip) && !s.inChain(c, chain) && s.signature(tip, c) == nil {
			s.add(foundChain{elements: append(chain[:len(chain):len(chain)], c)})
		}
	}
	for _, root := range s.systemRootsOf(tip) {
		switch {
		case bytes.Equal(root.Raw, tip.Raw):
			// The peer sent the root along. A root that is itself the
			// leaf identifies a CA, not a mail server.
			if len(chain) > 1 {
				s.add(foundChain{elements: chain, public: true})
			}
		case !s.inChain(root, chain):
			s.add(foundChain{elements: append(chain[:len(chain):len(chain)], root), public: true})
		}
	}
}

// add judges a chain and keeps it once, since a root can be found in the pool and
// among what the peer presented, and if it tells more than those kept before.
func (s *search) add(c foundChain) {
	for _, f := range s.found {
		if f.public == c.public && sameChain(f.elements, c.elements) {
			return
		}
	}
	c.faults = chainFaults(c, s.request)
	if len(c.faults.reasons) > 0 {
		if len(s.found)-s.good < maxPaths {
			s.found = append(s.found, c)
		}
		return
	}
	news, kind := s.good < maxPaths, s.kindOf(c)
	for i, child := range c.elements[:len(c.elements)-1] {
		l := link{child, c.elements[i+1], kind}
		news = news || !s.links[l]
		s.links[l] = true
	}
	switch {
	case !news:
	case s.good == maxGoodPaths:
		s.overrun = fmt.Sprintf("more than %d paths to an anchor that all tell something new", maxGoodPaths)
	default:
		s.good++
		s.found = append(s.found, c)
	}
}

// kindOf is equal for good paths that differ only in what the peer presented.
func (s *search) kindOf(c foundChain) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t %s %p", c.public, commonUsage(c.elements), c.elements[len(c.elements)-1])
	for _, x := range c.elements {
		if slices.Contains(s.request.Intermediates, x) {
			fmt.Fprintf(&b, " %p", x)
		}
	}
	return b.String()
}

// systemRootsOf returns the system's roots that signed c.
func (s *search) systemRootsOf(c *x509.Certificate) []*x509.Certificate {
	if s.request.SystemRoots == nil {
		return nil
	}
	if roots, known := s.roots[c]; known {
		return roots
	}
	s.checks++
	chains, err := timeless(c).Verify(x509.VerifyOptions{
		Roots:       s.request.SystemRoots,
		CurrentTime: s.request.Now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var roots []*x509.Certificate
	if err == nil {
		for _, chain := range chains {
			roots = append(roots, chain[len(chain)-1])
		}
	}
	s.roots[c] = roots
	return roots
}

// errTooManyChecks ends a search; it is never reported as a signature's fault.
var errTooManyChecks = errors.New("too many signatures to check")

// signature reports whether parent, a CA allowed to sign, signed child. A weak
// algorithm is right here if the signature is: the path's judge names it.
func (s *search) signature(child, parent *x509.Certificate) error {
	if err := mayVouch(parent); err != nil {
		return err
	}
	key := checked{child, string(parent.RawSubjectPublicKeyInfo)}
	if err, known := s.signatures[key]; known {
		return err
	}
	if s.checks >= maxSignatureChecks {
		s.overrun = fmt.Sprintf("more than %d signatures to check", maxSignatureChecks)
		return errTooManyChecks
	}
	s.checks++
	err := verifySignature(child, parent)
	s.signatures[key] = err
	return err
}

// mayVouch refuses what is no CA or may not sign certificates, as
// x509.Certificate.CheckSignatureFrom does.
func mayVouch(c *x509.Certificate) error {
	if c.Version == 3 && !c.BasicConstraintsValid || c.BasicConstraintsValid && !c.IsCA ||
		c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return x509.ConstraintViolationError{}
	}
	return nil
}

func verifySignature(child, parent *x509.Certificate) error {
	if k, ok := parent.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Errorf("its RSA key has %d bits, more than %d", k.N.BitLen(), maxRSABits)
	}
	err := parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
	var insecure x509.InsecureAlgorithmError
	if errors.As(err, &insecure) {
		return verifyWeakSignature(child, parent)
	}
	return err
}

// whyDead says what is missing above the tip of a dead end.
func (s *search) whyDead(tip *x509.Certificate, why string) string {
	for _, a := range s.request.Anchors {
		if !s.issued(a.Certificate, tip) {
			continue
		}
		if !a.Issuer {
			return fmt.Sprintf("%s: its issuer is trusted as a leaf only and may not issue", certificateLabel(tip))
		}
		err := mayVouch(a.Certificate)
		if err == nil {
			err = s.signatures[checked{tip, string(a.Certificate.RawSubjectPublicKeyInfo)}]
		}
		if err != nil {
			return fmt.Sprintf("%s: not signed by the anchor of that name: %v", certificateLabel(tip), err)
		}
	}
	switch {
	case why != "":
		return why
	case selfIssued(tip):
		return fmt.Sprintf("%s: a self-signed certificate that is no trust anchor", certificateLabel(tip))
	default:
		return fmt.Sprintf("%s: issuer %s is neither presented nor known", certificateLabel(tip), distinguishedName(tip.RawIssuer))
	}
}

// inChain reports whether a certificate with c's name, however spelt, and key is
// in the chain already: going through the same CA twice proves nothing more.
func (s *search) inChain(c *x509.Certificate, chain []*x509.Certificate) bool {
	for _, x := range chain {
		if bytes.Equal(x.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) && s.nameKey(x.RawSubject) == s.nameKey(c.RawSubject) {
			return true
		}
	}
	return false
}

func sameChain(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
