package smtp

// KeywordSet is a set of EHLO keywords that the server loop implements and may
// offer. STARTTLS is none of them: it depends on a certificate.
type KeywordSet uint16

// The keywords, each a set of one.
const (
	KeywordSIZE                KeywordSet = 1 << iota // RFC 1870
	KeywordPIPELINING                                 // RFC 2920
	KeywordENHANCEDSTATUSCODES                        // RFC 2034
	Keyword8BITMIME                                   // RFC 6152
	KeywordBINARYMIME                                 // RFC 3030; nothing without CHUNKING
	KeywordCHUNKING                                   // RFC 3030
)

// allKeywords are all that there are.
const allKeywords = KeywordCHUNKING<<1 - 1

// Has reports whether the set contains all of k.
func (s KeywordSet) Has(k KeywordSet) bool { return s&k == k }

// without returns what is left to offer when withheld may not be.
func (s KeywordSet) without(withheld KeywordSet) KeywordSet {
	s &^= withheld
	if !s.Has(KeywordCHUNKING) {
		s &^= KeywordBINARYMIME
	}
	return s
}
