package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"

	"mailpact/internal/message"
)

// scene is one conversation with its expected outcome.
type scene struct {
	title    string
	story    string // one sentence: who does what
	expected string
	run      func(ctx context.Context, t *town) result
}

// result is how a scene ended. An empty fault means: as expected.
type result struct {
	wire  []string // lines as seen, with the sign of the protocol log
	notes []string // what the reader of the message would see
	fault string
}

// markField is the header field that only a proven message carries.
const markField = "Mailpact-Domain-Secured"

func allScenes() []scene {
	return []scene{
		{
			"Woodgrove Bank writes to Contoso", "Woodgrove's server finds Contoso's by MX and both prove who they are.",
			"delivered with the mark", func(ctx context.Context, t *town) result { return between(ctx, t.woodgrove, t.contoso) },
		},
		{
			"Contoso answers", "The same on the way back.",
			"delivered with the mark", func(ctx context.Context, t *town) result { return between(ctx, t.contoso, t.woodgrove) },
		},
		{
			"Fabrikam, trusted by its certificate alone", "A partner without a CA: its self-signed certificate is an anchor for fabrikam.com only.",
			"delivered with the mark", func(ctx context.Context, t *town) result {
				l := t.letter("ann@fabrikam.com", "a letter from Fabrikam")
				l.source, l.name, l.credentials = fabrikamHost, "mail.fabrikam.com", &t.fabrikam
				return t.delivered(ctx, l, "fabrikam.com")
			},
		},
		{
			"An ordinary message", "A sender who is nobody's partner uses opportunistic TLS.",
			"delivered without the mark", func(ctx context.Context, t *town) result {
				return t.delivered(ctx, t.letter("someone@nobody.example", "an ordinary message"), "")
			},
		},
		refusal("No TLS", "Somebody claims to be Woodgrove and does not even say STARTTLS.", "451 4.7.3", func(t *town, l *letter) { l.tls = false }),
		refusal("No certificate", "TLS, but nothing that says who is calling.", "Reason:EmptyCertificate", func(_ *town, l *letter) { l.credentials = nil }),
		refusal("A stranger's CA", "The right name, vouched for by nobody that Contoso trusts for Woodgrove.", "Reason:UntrustedRoot", func(t *town, l *letter) { l.present(t, strangerName) }),
		refusal("A name two nodes deep", "mail1.us.woodgrovebank.com does not speak for woodgrovebank.com.", "Reason:SubjectMismatch", func(t *town, l *letter) { l.present(t, deepName) }),
		refusal("A revoked certificate", "Good in every way, but Woodgrove's CRL names it.", "Reason:Revoked", func(t *town, l *letter) { l.present(t, revokedName) }),
		refusal("The CRL server is down", "Nobody can say whether this certificate is revoked; unknown is never good.", "Reason:RevocationOffline", func(t *town, l *letter) { l.present(t, offlineName) }),
		{
			"A forged From", "The envelope says nobody.example, the From field says Woodgrove.",
			"delivered without the mark", func(ctx context.Context, t *town) result {
				l := t.letter("someone@nobody.example", "a forged From")
				l.header = []string{"From: Chairman <chairman@woodgrovebank.com>"}
				return t.delivered(ctx, l, "")
			},
		},
		{
			"A forged From where the partner asked to refuse", "The same for fabrikam.com, whose fromAlignment is refuse.",
			"refused", func(ctx context.Context, t *town) result {
				l := t.letter("someone@nobody.example", "a forged From again")
				l.header = []string{"From: Ann <ann@fabrikam.com>"}
				return t.refused(ctx, l, "5.7.1")
			},
		},
		{
			"A forged mark", "A stranger writes the mark himself.",
			"delivered, the mark removed", func(ctx context.Context, t *town) result {
				l := t.letter("someone@nobody.example", "a forged mark")
				l.header = []string{
					"mailpact-domain-secured : domain=woodgrovebank.com;\r\n name=mail1.woodgrovebank.com",
					"Authentication-Results: mail1.contoso.com; x-domain-secured=pass policy.domain=woodgrovebank.com",
				}
				return t.delivered(ctx, l, "")
			},
		},
	}
}

// refusal is a scene in which somebody claims to be Woodgrove and is refused with want.
func refusal(title, story, want string, spoil func(*town, *letter)) scene {
	return scene{title, story, "refused, " + want, func(ctx context.Context, t *town) result {
		l := t.letter("chairman@woodgrovebank.com", title)
		l.source, l.name = strangerHost, "mail1.woodgrovebank.com"
		l.present(t, goodName)
		spoil(t, &l)
		return t.refused(ctx, l, want)
	}}
}

// letter is an ordinary one from the stranger's address to Contoso's front door.
func (t *town) letter(from, subject string) letter {
	return letter{
		source: strangerHost, name: "host.nobody.example", address: net.JoinHostPort(contosoHost, t.port),
		from: from, to: "bob@contoso.com", subject: subject, tls: true, trust: t.contoso,
	}
}

func (l *letter) present(t *town, name string) {
	c := t.credentials[name]
	l.credentials = &c
}

// between sends from one organisation's mail system, through both gateways, to the other's mailbox.
func between(ctx context.Context, from, to *organisation) result {
	subject := "rates for " + to.domain
	l := letter{
		source: from.host, name: "exchange." + from.domain, address: from.inner,
		from: "alice@" + from.domain, to: "bob@" + to.domain, subject: subject,
	}
	if _, reply, err := (&town{}).send(ctx, l); err != nil || !reply.Positive() {
		return result{fault: fmt.Sprintf("%s's own gateway did not take the message: %v %v", from.domain, reply, err)}
	}
	data, err := to.mailbox.wait(ctx, "Subject: "+subject)
	if err != nil {
		return result{fault: explainWaiting(from, err)}
	}
	return judge(sessionSeenBy(ctx, to, "alice@"+from.domain), data, from.domain)
}

// delivered expects the letter at Contoso's mailbox, with the mark for domain or, if that is empty, without one.
func (t *town) delivered(ctx context.Context, l letter, domain string) result {
	w, reply, err := t.send(ctx, l)
	r := result{wire: w.lines}
	if err != nil {
		r.fault = err.Error()
		return r
	}
	if !reply.Positive() {
		r.fault = "refused: " + reply.String()
		return r
	}
	data, err := t.contoso.mailbox.wait(ctx, "Subject: "+l.subject+"\r\n")
	if err != nil {
		r.fault = explainWaiting(t.contoso, err)
		return r
	}
	return judge(w.lines, data, domain)
}

// refused expects a refusal that contains want.
func (t *town) refused(ctx context.Context, l letter, want string) result {
	w, reply, err := t.send(ctx, l)
	r := result{wire: w.lines}
	switch {
	case err != nil:
		r.fault = err.Error()
	case reply.Positive():
		r.fault = "accepted: " + reply.String()
	case !strings.Contains(reply.String(), want):
		r.fault = fmt.Sprintf("refused with %q, expected %q", reply, want)
	}
	return r
}

// judge looks at a delivered message: marked for domain, or not marked at all.
func judge(seen []string, data []byte, domain string) result {
	r := result{wire: seen}
	h, err := message.ReadHeader(bytes.NewReader(data), 1<<20)
	if err != nil {
		r.fault = err.Error()
		return r
	}
	var marks []string
	for _, f := range h.Fields() {
		if f.Is(strings.ToLower(markField)) || strings.Contains(strings.ToLower(string(f.Raw())), "x-domain-secured") {
			marks = append(marks, strings.Join(strings.Fields(string(f.Raw())), " "))
		}
	}
	switch {
	case domain == "" && len(marks) > 0:
		r.fault = "it carries the mark: " + strings.Join(marks, " | ")
	case domain != "" && (len(marks) != 2 || !strings.Contains(strings.Join(marks, " "), markField+": domain="+domain+";")):
		r.fault = fmt.Sprintf("it does not carry the mark for %s: %q", domain, marks)
	}
	r.notes = marks
	return r
}
