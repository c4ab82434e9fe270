package send

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// The replies that we give ourselves when no host gave one. The words follow
// those of the described system, the class digits agree (RFC 3463).

func replyLiteral() smtp.Reply {
	return smtp.NewReply(550, smtp.EnhancedCode{5, 1, 2}, "Mail to address literals is not delivered")
}

func replyHeld() smtp.Reply {
	return smtp.NewReply(451, smtp.EnhancedCode{4, 4, 4}, "The configuration holds mail for this destination")
}

func replyTooLarge(connector string) smtp.Reply {
	return smtp.NewReply(552, smtp.EnhancedCode{5, 3, 4}, "The message is larger than the maxMessageSize of send connector "+quote(connector))
}

func replyPeerTooLarge() smtp.Reply {
	return smtp.NewReply(552, smtp.EnhancedCode{5, 3, 4}, "The message is larger than the next hop accepts")
}

func replyBinary() smtp.Reply {
	return smtp.NewReply(554, smtp.EnhancedCode{5, 6, 3}, "The message is BINARYMIME, which the next hop does not offer, and is not converted")
}

func replyUTF8() smtp.Reply {
	return smtp.NewReply(553, smtp.EnhancedCode{5, 6, 7}, "The message needs SMTPUTF8, which the next hop does not offer")
}

func replyNoAddress() smtp.Reply {
	return smtp.NewReply(451, smtp.EnhancedCode{4, 4, 1}, "No address of the next hop is of the family of the connector's sourceIPAddress")
}

func replyContent() smtp.Reply {
	return smtp.NewReply(451, smtp.EnhancedCode{4, 3, 0}, "The message could not be read from the queue")
}

func replyBareLine() smtp.Reply {
	return smtp.NewReply(554, smtp.EnhancedCode{5, 6, 0}, "The message has a bare CR or LF and cannot be sent")
}

func replyStopping() smtp.Reply {
	return smtp.NewReply(451, smtp.EnhancedCode{4, 3, 2}, "Delivery was interrupted")
}

// replyConnect is for a connection that could not be made.
func replyConnect(err error) smtp.Reply {
	if timedOut(err) {
		return smtp.NewReply(421, smtp.EnhancedCode{4, 4, 1}, "Connection timed out")
	}
	return smtp.NewReply(421, smtp.EnhancedCode{4, 2, 1}, "Unable to connect")
}

// replyBroken is for a session that ended without a reply.
func replyBroken(err error) smtp.Reply {
	if timedOut(err) {
		return smtp.NewReply(421, smtp.EnhancedCode{4, 4, 1}, "Connection timed out")
	}
	return smtp.NewReply(421, smtp.EnhancedCode{4, 4, 2}, "Connection dropped")
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// replyReason is for a host that did not prove what is demanded. id is the
// session's, empty when there was none.
func replyReason(r domainsec.Reason, id string) smtp.Reply {
	code, enhanced, text := 454, smtp.EnhancedCode{4, 7, 5}, "Certificate validation failure"
	switch r {
	case domainsec.NoTLS:
		code, enhanced, text = 451, smtp.EnhancedCode{4, 7, 3}, "STARTTLS is required to send mail"
	case domainsec.HandshakeFailed:
		enhanced, text = smtp.EnhancedCode{4, 7, 0}, "Failed to establish appropriate TLS channel"
	case domainsec.ConnectorNotDomainSecure:
		enhanced, text = smtp.EnhancedCode{4, 7, 0}, "The send connector cannot secure the domain"
	case domainsec.OwnRevocationOffline:
		text = "Own CRL unreachable"
	case domainsec.NoOwnCertificate, domainsec.OwnCertificateInvalid:
		text = "Own certificate unusable"
	}
	text += ", Reason:" + r.String()
	if id != "" {
		text += " [" + id + "]"
	}
	return smtp.NewReply(code, enhanced, text)
}

// replyFailover wraps what the host said that best explains why every host failed.
func replyFailover(inner smtp.Reply) smtp.Reply {
	return smtp.NewReply(451, smtp.EnhancedCode{4, 4, 0}, `Primary target IP address responded with: "`+inner.String()+
		`" Attempted failover to alternate host, but that did not succeed. Either there are no alternate hosts, or delivery failed to all alternate hosts.`)
}

func reasonWords(reasons []domainsec.Reason) string {
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

func quote(s string) string { return `"` + s + `"` }
