package revocation

import (
	"crypto/x509"
	"slices"
	"time"

	"mailpact/internal/domainsec"
)

// Files answers by CRLs that somebody hands over and by nothing else: nothing
// is fetched. It is immutable and safe for concurrent use.
//
//	lists := []*revocation.List{}
//	for _, name := range names {
//		content, err := os.ReadFile(name)
//		...
//		l, err := revocation.ParseList(name, content) // DER or PEM; the error says what is wrong with it
//		...
//		lists = append(lists, l)
//	}
//	answers := revocation.NewFiles(lists, intermediates).CheckPath(path, now)
//
// answers[i] is that for path[i]; see Answer for what it tells. The path is good
// when every answer has the status domainsec.RevocationGood.
type Files struct {
	lists   []*List
	signers []*x509.Certificate
}

// NewFiles makes a Files of CRLs of any kind and issuers. signers are further
// certificates that may have signed one of them, see Question.Signers; giving
// every certificate that is known is right.
func NewFiles(lists []*List, signers []*x509.Certificate) *Files {
	return &Files{lists: slices.Clone(lists), signers: slices.Clone(signers)}
}

// CheckPath answers for every certificate of a verified path, leaf first, but
// the last, which is the anchor; for an anchor alone the result is empty. now is
// when the answers must hold.
func (f *Files) CheckPath(path []*x509.Certificate, now time.Time) []Answer {
	return Evaluate(Question{Path: path, Lists: f.lists, Signers: f.signers, Now: now})
}

// Status makes one answer of those of CheckPath, by the rules of
// Checker.CheckPath. A path that is none is unknown.
func (f *Files) Status(path []*x509.Certificate, now time.Time) Status {
	switch {
	case len(path) == 1 && path[0] != nil:
		return Status{Status: domainsec.RevocationNotRequired, Detail: "the certificate is itself the anchor"}
	case len(path) == 0 || len(path) > maxPathLength || slices.Contains(path, nil):
		return Status{Detail: "a path of that kind cannot be checked"}
	}
	return combine(f.CheckPath(path, now))
}
