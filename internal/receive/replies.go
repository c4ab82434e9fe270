package receive

import (
	"strings"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// kind is what a reply says, apart from the names that stand in it.
type kind uint8

// The kinds. The zero value is none.
const (
	kindUnset kind = iota
	kindTooManyConnections
	kindTooManyFromSource
	kindTooManyHeaders
	kindTooManyMessages
	kindTooManyRefusals
	kindTooManyLogonFailures
	kindNotServed
	kindNoProxyHeader
	kindShuttingDown
	kindDomainRequired
	kindTLSUnavailable
	kindSTARTTLSRequired
	kindNotAuthenticated
	kindLogonFailed
	kindLogonBusy
	kindOwnDomainAsSender
	kindRelay
	kindRecipientUnknown
	kindHeaderTooLarge
	kindTooManyHops
	kindNoRoom
	kindStoreFault
	kindFromRefused
	kindFromDeferred
	kindQueued
	kindCount // the number of kinds; not a kind
)

// answer is one row of the tables below. In text, "%s" stands for what the
// reply is about.
type answer struct {
	code     int
	enhanced smtp.EnhancedCode
	text     string
	closing  bool
}

// answers is the one table of what this room says, and reasonAnswers its
// continuation for the reasons of Domain Security. What is about the wire alone
// the loop answers (smtp).
var answers = [kindCount]answer{
	kindTooManyConnections:   {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "The maximum number of concurrent connections has been exceeded, closing transmission channel", closing: true},
	kindTooManyFromSource:    {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "The maximum number of concurrent connections from this source has been exceeded, closing transmission channel", closing: true},
	kindTooManyHeaders:       {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "Too many PROXY headers are awaited, closing transmission channel", closing: true},
	kindTooManyMessages:      {code: 421, enhanced: smtp.EnhancedCode{4, 4, 2}, text: "Message submission rate for this client has exceeded the configured limit, closing transmission channel", closing: true},
	kindTooManyRefusals:      {code: 421, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "Too many senders were refused on this connection, closing transmission channel", closing: true},
	kindTooManyLogonFailures: {code: 421, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "Too many logon failures, closing transmission channel", closing: true},
	kindLogonFailed:          {code: 535, enhanced: smtp.EnhancedCode{5, 7, 8}, text: "Authentication unsuccessful"},
	kindLogonBusy:            {code: 454, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "Temporary authentication failure"},
	kindNotServed:            {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "No receive connector serves this client address, closing transmission channel", closing: true},
	kindNoProxyHeader:        {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "A valid PROXY header is expected from this address, closing transmission channel", closing: true},
	kindShuttingDown:         {code: 421, enhanced: smtp.EnhancedCode{4, 3, 2}, text: "Service not active, closing transmission channel", closing: true},
	kindDomainRequired:       {code: 501, enhanced: smtp.EnhancedCode{5, 5, 4}, text: "EHLO requires a domain name"},
	kindTLSUnavailable:       {code: 454, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "TLS not available due to temporary reason"},
	kindSTARTTLSRequired:     {code: 451, enhanced: smtp.EnhancedCode{4, 7, 3}, text: "STARTTLS is required to send mail"},
	kindNotAuthenticated:     {code: 530, enhanced: smtp.EnhancedCode{5, 7, 1}, text: "Client was not authenticated"},
	kindOwnDomainAsSender:    {code: 550, enhanced: smtp.EnhancedCode{5, 7, 1}, text: "Client does not have permissions to send as this sender"},
	kindRelay:                {code: 550, enhanced: smtp.EnhancedCode{5, 7, 1}, text: "Unable to relay"},
	kindRecipientUnknown:     {code: 550, enhanced: smtp.EnhancedCode{5, 1, 1}, text: "User unknown"},
	kindHeaderTooLarge:       {code: 552, enhanced: smtp.EnhancedCode{5, 3, 4}, text: "Header size exceeds fixed maximum size"},
	kindTooManyHops:          {code: 554, enhanced: smtp.EnhancedCode{5, 4, 6}, text: "Hop count exceeded - possible mail loop"},
	kindNoRoom:               {code: 452, enhanced: smtp.EnhancedCode{4, 3, 1}, text: "Insufficient system resources"},
	kindStoreFault:           {code: 451, enhanced: smtp.EnhancedCode{4, 3, 0}, text: "Message could not be stored. Please try again later"},
	kindFromRefused:          {code: 550, enhanced: smtp.EnhancedCode{5, 7, 1}, text: "From field names a domain this message is not authenticated for, Reason:FromMismatch"},
	kindFromDeferred:         {code: 451, enhanced: smtp.EnhancedCode{4, 7, 1}, text: "From field names a domain this message is not authenticated for at the moment, Reason:FromMismatch"},
	kindQueued:               {code: 250, enhanced: smtp.EnhancedCode{2, 6, 0}, text: "%s Queued mail for delivery"},
}

// certificateFailure is what a peer reads about its own certificate; "%s" is
// the reason's word.
const certificateFailure = "Certificate validation failure, Reason:%s"

// reasonAnswers answers each reason of Domain Security. Reasons that only an
// outbound decision reports have a row all the same, so that no reason can ever
// be without an answer.
var reasonAnswers = map[domainsec.Reason]answer{
	domainsec.ReasonUnknown:            {code: 451, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "Sender could not be judged. Please try again later"},
	domainsec.NoTLS:                    {code: 451, enhanced: smtp.EnhancedCode{4, 7, 3}, text: "STARTTLS required to send mail from this domain"},
	domainsec.NoOwnCertificate:         {code: 454, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "STARTTLS is required to send mail from this domain and is not available here at the moment"},
	domainsec.EmptyCertificate:         certificateAnswer(),
	domainsec.UntrustedRoot:            certificateAnswer(),
	domainsec.CertificateExpired:       certificateAnswer(),
	domainsec.CertificateNotYetValid:   certificateAnswer(),
	domainsec.WrongUsage:               certificateAnswer(),
	domainsec.SubjectMismatch:          certificateAnswer(),
	domainsec.WeakSignature:            certificateAnswer(),
	domainsec.Revoked:                  certificateAnswer(),
	domainsec.RevocationOffline:        certificateAnswer(),
	domainsec.InvalidChain:             certificateAnswer(),
	domainsec.FromMismatch:             answers[kindFromRefused],
	domainsec.NotMutual:                channelAnswer(),
	domainsec.OwnCertificateRefused:    channelAnswer(),
	domainsec.OwnRevocationOffline:     channelAnswer(),
	domainsec.OwnCertificateInvalid:    channelAnswer(),
	domainsec.ConnectorNotDomainSecure: channelAnswer(),
	domainsec.HandshakeFailed:          channelAnswer(),
}

func certificateAnswer() answer {
	return answer{code: 454, enhanced: smtp.EnhancedCode{4, 7, 5}, text: certificateFailure}
}

func channelAnswer() answer {
	return answer{code: 454, enhanced: smtp.EnhancedCode{4, 7, 0}, text: "Failed to establish appropriate TLS channel, Reason:%s"}
}

// queued makes the reply for an accepted message.
func queued(name string) smtp.Reply {
	a := &answers[kindQueued]
	return smtp.NewReply(a.code, a.enhanced, name+strings.TrimPrefix(a.text, "%s"))
}

// refusal makes the refusing reply of kind k. It ends with the session's id in
// brackets, by which an administrator finds the session in every log.
func refusal(k kind, sessionID string) smtp.Reply {
	return answers[k].refuse("", sessionID)
}

// refusalFor makes the reply that refuses a sender for reason.
func refusalFor(reason domainsec.Reason, sessionID string) smtp.Reply {
	a, ok := reasonAnswers[reason]
	if !ok {
		a = reasonAnswers[domainsec.ReasonUnknown]
	}
	return a.refuse(reason.String(), sessionID)
}

func (a answer) refuse(subject, sessionID string) smtp.Reply {
	r := a.reply(subject)
	r.Lines[0] += " [" + sessionID + "]"
	return r
}

// reply makes the reply without a session's id.
func (a answer) reply(subject string) smtp.Reply {
	r := smtp.NewReply(a.code, a.enhanced, strings.Replace(a.text, "%s", subject, 1))
	r.CloseAfter = a.closing
	return r
}
