package domainsec

import (
	"crypto/tls"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// Reason is why a session or message is not domain-secured. The words of
// String stand in replies, logs, counters and metrics.
type Reason uint8

// The reasons. The zero value is never reported by a decision.
const (
	ReasonUnknown Reason = iota
	NoTLS
	NoOwnCertificate
	EmptyCertificate
	UntrustedRoot
	CertificateExpired
	CertificateNotYetValid
	WrongUsage
	SubjectMismatch
	WeakSignature
	Revoked
	RevocationOffline
	// InvalidChain is a chain fault no other word fits (name constraints, path length, an unknown critical extension).
	InvalidChain
	// FromMismatch: the From field names a listed domain for which the transaction is not secured.
	FromMismatch
	// NotMutual (outbound): the server never asked for our certificate.
	NotMutual
	// OwnCertificateRefused (outbound): the peer ended the session over our certificate.
	OwnCertificateRefused
	// OwnRevocationOffline and OwnCertificateInvalid (outbound): our own certificate cannot be shown to be good.
	OwnRevocationOffline
	OwnCertificateInvalid
	// ConnectorNotDomainSecure (outbound): the connector that routes the domain cannot secure it.
	ConnectorNotDomainSecure
	// HandshakeFailed (outbound): STARTTLS was refused or the handshake failed.
	HandshakeFailed
)

// Direction is the way of the mail.
type Direction uint8

// The directions. Inbound the peer is a TLS client, outbound a TLS server.
const (
	DirectionUnknown Direction = iota
	Inbound
	Outbound
)

// NameCheck says which rule a certificate's names are held to. The zero value is
// the Domain Security rule for a mail domain, the only one that ever secures mail.
type NameCheck uint8

// The name checks.
const (
	NamesByDomain NameCheck = iota
	// NamesByHost: the names must stand for one host or IP address (RFC 9525).
	NamesByHost
	// NamesUnchecked: the question is about the chain alone.
	NamesUnchecked
)

// TLSFacts describe an established TLS session.
type TLSFacts struct {
	Version     string // "TLSv1.3"
	CipherSuite string // IANA name
	// PresentedOwn: our own certificate was presented (server side: always; client side: the server asked for it and got it).
	PresentedOwn bool
}

// TLSVersionName returns the name of a version as logs and marks show it,
// "TLSv1.3".
func TLSVersionName(version uint16) string {
	return strings.Replace(tls.VersionName(version), "TLS ", "TLSv", 1)
}

// CertificateFacts describe one certificate for logs, marks and evidence.
type CertificateFacts struct {
	Subject, Issuer string   // RFC 4514-like, most specific first, as the protocol log shows them
	SerialNumber    string   // upper-case hex
	SHA1, SHA256    string   // thumbprints, upper-case hex
	Names           []string // dNSName SANs, else the host-name CN
	NotBefore       time.Time
	NotAfter        time.Time
	Key             string   // kind and size, such as "RSA 2048" or "ECDSA P-256"
	Signature       string   // algorithm it is signed with, as crypto/x509 calls it
	Usages          []string // extended key usages by name, else OID; nil when it has no such extension
	CA              bool     // basic constraints say CA
}

// RevocationStatus is the answer for a whole path.
type RevocationStatus uint8

// The statuses. The zero value is unknown and secures nothing.
const (
	RevocationUnknown RevocationStatus = iota
	RevocationGood
	RevocationRevoked
	// RevocationNotRequired: an administrator marked the anchor "revocation: none", or the leaf is short-lived.
	RevocationNotRequired
)

// String returns the status as a word.
func (s RevocationStatus) String() string {
	switch s {
	case RevocationGood:
		return "good"
	case RevocationRevoked:
		return "revoked"
	case RevocationNotRequired:
		return "notRequired"
	default:
		return "unknown"
	}
}

// RevocationCheck is what was asked and answered about one certificate.
type RevocationCheck struct {
	SHA256 string // thumbprint of the certificate
	Status RevocationStatus
	Detail string // which list, and why, when unknown or revoked
	// ThisUpdate is that of the list used; ValidUntil is when the answer ends.
	// Zero: no list was used, or the answer sets no end.
	ThisUpdate, ValidUntil time.Time
	Took                   time.Duration // of the whole check, fetches included
	Sources                []RevocationSource
}

// RevocationSource is one list or responder that was consulted.
type RevocationSource struct {
	Kind    string // "complete CRL", "delta CRL" or "OCSP"
	Address string // a URL, or the file it came from
	Issuer  string
	Number  string // CRL number; "" when there is none
	Used    bool   // the answer rests on it
	Error   string // why it does not; "" when it does
	// ThisUpdate and NextUpdate bound its use; zero when it could not be had.
	ThisUpdate, NextUpdate time.Time
}

// IssuerFetch is an address that was asked for an issuer's certificate.
type IssuerFetch struct {
	Address      string
	Certificates int    // how many it gave
	Error        string // why none; "" when it gave some
	Took         time.Duration
}

// PathFacts is one candidate path from the peer's certificate to an anchor.
// The zero value reached no anchor and secures nothing.
type PathFacts struct {
	Elements []CertificateFacts // leaf first; the anchor last when one was reached
	// Reasons are the path's own faults (trust, dates, usage, strength, constraints), not revocation or names.
	Reasons []Reason
	// Incomplete: it ends where an issuer could not be fetched, so that more may
	// be found later. RevocationDetail says from where.
	Incomplete bool
	Detail     string // human text of the first fault, "" when none
	Progress   int    // how far validation got; the refusal of the furthest path is reported
	Usage      string // one of the Usage constants: the purpose every element allows
	Anchor     string // SHA-256 of the anchor, "" when none was reached
	Revocation RevocationStatus
	// RevocationDetail says which certificate and URL, when Revocation is unknown or revoked.
	RevocationDetail string
	RevocationTime   time.Time // thisUpdate of the oldest CRL used
	// Checks are the answers behind Revocation, one for each certificate that was
	// asked about, leaf first; nil when nothing was asked.
	Checks     []RevocationCheck
	ValidUntil time.Time // earliest of nextUpdate and notAfter on the path
}

// PeerFacts is what is known of a peer's certificate for one domain, one
// direction and one partner policy. trust makes them. A verdict for any other
// domain or direction refuses them: what was proved for A proves nothing for B.
type PeerFacts struct {
	// Domain and Direction say what the facts were gathered for.
	Domain    smtp.Domain
	Direction Direction
	// NameCheck is how MatchedName was found.
	NameCheck   NameCheck
	Certificate CertificateFacts
	// MatchedName is the certificate's name that matched; "" when none did. It
	// means nothing under NamesUnchecked.
	MatchedName string
	Paths       []PathFacts
	// Fetched are the addresses that were asked for missing issuers.
	Fetched []IssuerFetch
	// NoPath is the detail when no candidate path could be built at all.
	NoPath string
}

// SessionFacts is what a receive connector knows of a session at MAIL FROM.
type SessionFacts struct {
	DirectTrust         bool      // authenticated by direct trust
	Authenticated       bool      // authenticated client or inner server
	DomainSecureEnabled bool      // of the connector
	STARTTLSOffered     bool      // false when we had no usable certificate
	TLS                 *TLSFacts // nil in the clear
	// Peer is nil when the client presented no certificate. It is judged for the sender's domain.
	Peer *PeerFacts
	// Now decides whether a partner's override is in force; zero: none is.
	Now time.Time
}

// Action is what a verdict orders.
type Action uint8

// The actions. The zero value refuses.
const (
	ActionUnset    Action = iota
	ActionOrdinary        // not a Domain Security matter: ordinary rules, never marked
	ActionSecure          // secured for Verdict.Domain: Partners rights and the mark
	ActionRefuse          // not now; a sender may try again
	ActionUpstream        // direct trust: the upstream's stamp is the verdict
)

// Verdict is a decision with all its reasons, most severe first.
type Verdict struct {
	Action  Action
	Domain  smtp.Domain // set with ActionSecure
	Reasons []Reason
	Detail  string
	// Temporary: the refusal may pass by itself (revocation unknown).
	Temporary bool
	// WouldRefuse: in test mode, what enforcing would have refused; Action is ActionOrdinary then.
	WouldRefuse bool
	// Unmarked: the partner's rules let the peer through although it is not
	// secured, with Action ActionOrdinary: his override, with the Reasons that it
	// passes over, or a listed name that others share.
	Unmarked bool
	// Path is the path that carried a secured verdict; nil otherwise.
	Path        *PathFacts
	MatchedName string
}

// Policy is one partner's rules. It is directory.Partner.
type Policy = directory.Partner
