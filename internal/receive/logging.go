package receive

// Keys of the operational log's attributes.
const (
	keyAccount    = "account"
	keySession    = "session"
	keyConnector  = "connector"
	keyRemote     = "remote"
	keyUpstream   = "upstream"
	keyAddress    = "address"
	keyError      = "error"
	keyEvent      = "event"
	keyReason     = "reason"
	keyDetail     = "detail"
	keyDomain     = "domain"
	keyThumbprint = "thumbprint"
)

// Events, by the numbers that administrators of the described system know.
const (
	eventTLSNotStarted          = 11012 // a listed domain sent without TLS
	eventNoClientCertificate    = 11013
	eventClientCertificate      = 11014 // the client's certificate failed validation
	eventSubjectMismatch        = 11015 // the client's certificate does not carry the domain
	eventNoCertificate          = 12014
	eventCertificateExpired     = 12016
	eventCertificateExpiresSoon = 12018
)

// maxLogged bounds what of a peer's own words enters a line of the log.
const maxLogged = 256

// cut returns s without control characters and at most maxLogged octets long.
func cut(s string) string {
	b := make([]byte, 0, min(len(s), maxLogged))
	for i := 0; i < len(s) && len(b) < maxLogged; i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		b = append(b, c)
	}
	return string(b)
}
