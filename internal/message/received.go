package message

import (
	"net/netip"
	"strings"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// ReceivedOptions say how a message came. Strings may come from strangers.
type ReceivedOptions struct {
	Hello    string // argument of EHLO or HELO
	Extended bool   // EHLO
	UTF8     bool   // SMTPUTF8 was said
	// Authenticated says that AUTH has succeeded.
	Authenticated bool
	Client        netip.Addr // invalid: unknown
	By            string     // our own host name, of the connector
	// TLS is nil in the clear.
	TLS *domainsec.TLSFacts
	// ClientCertificate is nil when the client presented none.
	ClientCertificate *domainsec.CertificateFacts
	// ClientVerify is the verdict on that certificate in a word or two:
	// "woodgrovebank.com", or a Reason. Empty means that nobody asked.
	ClientVerify string
	SessionID    string
	MessageID    string // number of the message in the session or queue; may be empty
	// For is set only for a message with this one recipient, so that
	// recipients do not learn of each other (RFC 5321, section 7.2).
	For  *smtp.ForwardPath
	Date time.Time
}

// Received makes the trace field of RFC 5321, section 4.4, with its CRLF. The
// TLS session stands in a comment, as is the custom; a HELO argument that is no
// domain or address literal stands in one too.
func Received(o ReceivedOptions) []byte {
	clauses := make([]string, 0, 8)
	hello, odd := helloDomain(o.Hello)
	clauses = append(clauses, "from "+hello+" ("+clientInfo(o.Client)+")")
	if odd != "" {
		clauses = append(clauses, "(helo "+odd+")")
	}
	clauses = append(clauses, "by "+hostToken(o.By)+" with "+protocol(o))
	if o.TLS != nil {
		clauses = append(clauses, tlsComment(o))
	}
	if id := idToken(o.SessionID, o.MessageID); id != "" {
		clauses = append(clauses, "id "+id)
	}
	if o.For != nil {
		// A quoted local part with a space could be folded there and change.
		if to := o.For.String(); isVisible(to) && len(to) <= maxLine/2 {
			clauses = append(clauses, "for <"+to+">")
		}
	}
	clauses[len(clauses)-1] += ";"
	clauses = append(clauses, o.Date.Format(dateLayout))
	return appendFolded(make([]byte, 0, 512), "Received", clauses...)
}

// protocol is the registered name of RFC 3848, or RFC 6531, section 4.3.
func protocol(o ReceivedOptions) string {
	name := "ESMTP"
	switch {
	case o.UTF8:
		name = "UTF8SMTP"
	case !o.Extended:
		return "SMTP"
	}
	if o.TLS != nil {
		name += "S"
	}
	if o.Authenticated {
		name += "A"
	}
	return name
}

// helloDomain returns the argument of EHLO as RFC 5321's Domain or address
// literal; odd is the argument as comment text when it is neither.
func helloDomain(s string) (domain, odd string) {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		in := s[1 : len(s)-1]
		if len(in) > 5 && strings.EqualFold(in[:5], "IPv6:") {
			in = in[5:]
		}
		if a, err := netip.ParseAddr(in); err == nil && a.Zone() == "" {
			return literal(a), ""
		}
	}
	if isHostName(s) {
		return s, ""
	}
	if s == "" {
		return "unknown", ""
	}
	return "unknown", commentText(s)
}

func clientInfo(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return "unknown " + literal(a.WithZone(""))
}

func literal(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

// tlsComment describes the TLS session.
func tlsComment(o ReceivedOptions) string {
	var b strings.Builder
	b.WriteString("(" + commentText(o.TLS.Version) + " cipher " + commentText(o.TLS.CipherSuite) + "; client certificate ")
	if c := o.ClientCertificate; c == nil {
		b.WriteString("none")
	} else {
		b.WriteString("subject " + commentText(orEmpty(c.Subject)))
		if o.ClientVerify != "" {
			b.WriteString(", verify " + commentText(o.ClientVerify))
		} else {
			b.WriteString(", not verified")
		}
	}
	b.WriteString(")")
	return b.String()
}

func orEmpty(s string) string {
	if s == "" {
		return "empty"
	}
	return s
}

// commentText returns s for a place in a comment: escaped, and parentheses too.
func commentText(s string) string { return escaped(s, "()") }

// idToken makes the atom of the ID clause.
func idToken(session, message string) string {
	atom := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < 0x80 && isAtext(byte(r)) && r != '/' {
				return r
			}
			return -1
		}, cut(s, 64))
	}
	session, message = atom(session), atom(message)
	if session == "" || message == "" {
		return session + message
	}
	return session + "/" + message
}

// hostToken returns s if it is a host name, "unknown" otherwise.
func hostToken(s string) string {
	if isHostName(s) {
		return s
	}
	return "unknown"
}

// isHostName reports whether s has the form of RFC 5321's Domain.
func isHostName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
