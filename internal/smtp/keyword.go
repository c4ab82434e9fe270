package smtp

// KeywordSet is a set of EHLO keywords that the server loop knows. STARTTLS is none of them: it depends on a certificate.
type KeywordSet uint16

// The keywords, each a set of one.
const (
	KeywordSIZE                KeywordSet = 1 << iota // RFC 1870
	KeywordPIPELINING                                 // RFC 2920
	KeywordENHANCEDSTATUSCODES                        // RFC 2034
	Keyword8BITMIME                                   // RFC 6152
	KeywordBINARYMIME                                 // RFC 3030; nothing without CHUNKING
	KeywordCHUNKING                                   // RFC 3030
	KeywordDSN                                        // RFC 3461
	KeywordSMTPUTF8                                   // RFC 6531; nothing without 8BITMIME
	KeywordAUTH                                       // RFC 4954; there when the Session names mechanisms
)

// loopKeywords are those that the loop implements alone. The others mean
// something for what becomes of a message, which the Session has to see to.
const loopKeywords = KeywordSIZE | KeywordPIPELINING | KeywordENHANCEDSTATUSCODES | Keyword8BITMIME | KeywordCHUNKING

// Has reports whether the set contains all of k.
func (s KeywordSet) Has(k KeywordSet) bool { return s&k == k }

// offered returns what is offered in answer to EHLO.
func (h HelloResponse) offered() KeywordSet {
	s := (loopKeywords | h.Supported) &^ (h.Withheld | KeywordAUTH)
	if len(h.Mechanisms) > 0 {
		s |= KeywordAUTH
	}
	if !s.Has(KeywordCHUNKING) {
		s &^= KeywordBINARYMIME // RFC 3030, section 3
	}
	if !s.Has(Keyword8BITMIME) {
		s &^= KeywordSMTPUTF8 // RFC 6531, section 3.1
	}
	return s
}
