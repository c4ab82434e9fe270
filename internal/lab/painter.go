package lab

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"mailpact/internal/admin"
)

// painter writes the story. Colour only repeats what the words say.
type painter struct {
	w       io.Writer
	color   bool
	command string // how to call this program
}

// The few styles, as SGR parameters.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// wrapAt is where long lines of the wire are broken.
const wrapAt = 110

func (p *painter) paint(style, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (p *painter) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p *painter) title(name, what string) {
	p.line("%s  %s", p.paint(bold, name), what)
}

func (p *painter) world(t *town) {
	p.line("")
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		p.line("  %-18s %-16s  %s", o.domain, o.host+":"+t.port, p.paint(dim, "gateway "+o.mailHost()+", private CA, CRL over HTTP"))
	}
	p.line("  %-18s %-16s  %s", "fabrikam.com", fabrikamHost, p.paint(dim, "Contoso trusts its self-signed certificate, nothing else"))
	p.line("  %-18s %-16s  %s", "nobody.example", strangerHost, p.paint(dim, "nobody's partner"))
	p.line("  %-18s %-16s  %s", "DNS", t.zone.Addr(), p.paint(dim, "MX records of both"))
	p.line("")
	p.line("%s", p.paint(dim, "  Contoso and Woodgrove have exchanged partner bundles and compared their fingerprints:"))
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		p.line("  %-18s %s", o.domain, p.paint(dim, admin.Groups(o.fingerprint)))
	}
	p.line("")
	p.line("%s", p.paint(dim, "  C: the client, S: the server, in the order of the transcript; * is information from the protocol log."))
}

func (p *painter) scene(n, of int, s scene) {
	p.line("")
	p.line("%s", p.paint(bold, fmt.Sprintf("%2d/%d  %s", n, of, s.title)))
	p.line("       %s", s.story)
}

func (p *painter) result(s scene, r result) {
	for _, l := range r.wire {
		for _, shown := range p.wireLines(l) {
			p.line("       %s", shown)
		}
	}
	if len(r.notes) > 0 {
		p.line("       The message carries")
	}
	for _, n := range r.notes {
		for i, part := range wrap(n, wrapAt-8) {
			if i > 0 {
				part = "    " + part
			}
			p.line("         %s", p.paint(green, part))
		}
	}
	if r.fault == "" {
		p.line("       %s", p.paint(green, "as expected: "+s.expected))
		return
	}
	p.line("       %s", p.paint(red, "NOT AS EXPECTED: "+r.fault))
}

// wireLines leaves out what does not tell the story (EHLO keywords) and breaks
// long lines. Wherever a refusal stands, it shows.
func (p *painter) wireLines(l string) []string {
	sign, text := l[:1]+":", strings.TrimSpace(l[1:])
	if strings.HasPrefix(l, information) {
		sign = "* "
	}
	if text == "" || strings.HasPrefix(text, "250-") || isLastKeyword(text) {
		return nil
	}
	style := dim
	switch {
	case len(text) > 3 && (text[0] == '4' || text[0] == '5') && text[3] == ' ':
		style = red
	case sign == "* ":
		style = cyan
	}
	var out []string
	for i, part := range wrap(text, wrapAt) {
		if i > 0 {
			sign = "  "
			part = "  " + part
		}
		out = append(out, p.paint(dim, sign)+" "+p.paint(style, part))
	}
	return out
}

// isLastKeyword reports the last line of an EHLO reply: 250, a space, and a keyword alone.
func isLastKeyword(text string) bool {
	keyword, ok := strings.CutPrefix(text, "250 ")
	return ok && keyword != "" && strings.Trim(keyword, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func (p *painter) counters(ctx context.Context, t *town) error {
	p.line("")
	p.line("%s", p.paint(bold, "Counters"))
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		c, err := admin.Call[admin.Counters](ctx, o.client(), "counters.show", nil)
		if err != nil {
			return fmt.Errorf("reading the counters of %s: %w", o.domain, err)
		}
		var refused uint64
		for _, n := range c.Refusals {
			refused += n
		}
		p.line("  %-18s %d domain-secured received, %d sent, %d outbound session failures, %d refusals",
			o.domain, c.DomainSecuredMessagesReceived, c.DomainSecuredMessagesSent, c.DomainSecuredOutboundSessionFailures, refused)
	}
	return nil
}

func (p *painter) summary(scenes, failed int, took time.Duration) {
	p.line("")
	if failed == 0 {
		p.line("%s", p.paint(green, fmt.Sprintf("All %d outcomes were the expected ones, in %.1f s.", scenes, took.Seconds())))
		return
	}
	p.line("%s", p.paint(red, fmt.Sprintf("%d of %d outcomes were NOT the expected ones.", failed, scenes)))
}

func (p *painter) stayUp(t *town) {
	p.line("")
	p.line("Both servers stay up until Ctrl-C. Look around:")
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		p.line("  %s --socket %s status", p.command, o.socket)
	}
	p.line("  %s --socket %s counters", p.command, t.contoso.socket)
	p.line("  less %s", t.contoso.config)
	p.line("  less %s/logs/protocol/receive/RECV*.log", t.contoso.data)
}

// wrap breaks s at spaces so that no line is longer than width, if it can.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
