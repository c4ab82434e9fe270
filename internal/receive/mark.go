package receive

import (
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/message"
	"mailpact/internal/smtp"
)

// markKey is everything that a mark tells. The session's own facts stand in it
// by their address: they are made anew when they change.
type markKey struct {
	tls            *domainsec.TLSFacts
	certificate    *domainsec.CertificateFacts
	domain         smtp.Domain
	name           string
	revocation     domainsec.RevocationStatus
	revocationTime time.Time
	by             string
	authservID     string
}

// marks keeps the last mark that a session made. The messages of a session
// mostly get the same one, and making it costs more than any other field.
type marks struct {
	key    markKey
	octets []byte // nil: none has been made
}

// mark makes the fields that say for which domain the message is secured. The
// octets are shared: they are to be written and not changed.
func (x *session) mark() []byte {
	v := &x.tx.verdict
	k := markKey{
		tls:         x.tls,
		certificate: x.peerFacts,
		domain:      v.Domain,
		name:        v.MatchedName,
		by:          string(x.tx.view.configuration.Server.FQDN),
		authservID:  x.tx.view.authservID(),
	}
	if v.Path != nil {
		k.revocation, k.revocationTime = v.Path.Revocation, v.Path.RevocationTime
	}
	if x.marks.octets == nil || x.marks.key != k {
		x.marks = marks{key: k, octets: makeMark(k)}
	}
	return x.marks.octets
}

func makeMark(k markKey) []byte {
	o := message.MarkOptions{
		Domain:         k.domain,
		Name:           k.name,
		TLS:            *k.tls,
		Revocation:     k.revocation,
		RevocationTime: k.revocationTime,
		By:             k.by,
		AuthservID:     k.authservID,
	}
	if k.certificate != nil {
		o.Certificate = *k.certificate
	}
	return message.Mark(o)
}
