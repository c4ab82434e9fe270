package dsn

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func options(k Kind) Options {
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	return Options{
		Kind: k, ReportingMTA: "mail1.contoso.com", ID: "42.1",
		From: smtp.Mailbox{LocalPart: "postmaster", Domain: "contoso.com"},
		To:   smtp.Mailbox{LocalPart: "alice", Domain: "contoso.com"},
		Now:  at, Arrival: at.Add(-48 * time.Hour), Expires: at.Add(44 * time.Hour),
		Subject: "Rates for November", OriginalMessageID: "<1@contoso.com>",
		Original: []byte("Received: from a by b; Mon, 2 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@contoso.com>\r\nSubject: Rates for November\r\n"),
		Recipients: []Recipient{{
			Address:    "bob@woodgrovebank.com",
			Reply:      smtp.NewReply(454, smtp.EnhancedCode{4, 7, 5}, "Certificate validation failure, Reason:UntrustedRoot [08C895F533E837EC]"),
			LastError:  `451 4.4.0 Primary target IP address responded with: "454 4.7.5 Certificate validation failure, Reason:UntrustedRoot." Attempted failover to alternate host, but that did not succeed.`,
			RemoteHost: "mail1.woodgrovebank.com", LastAttempt: at.Add(-time.Minute),
		}},
	}
}

func TestBuildGolden(t *testing.T) {
	expired := options(KindFailed)
	expired.Recipients[0].Reply = smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{4, 4, 7}, Lines: []string{"QUEUE.Expired;message expired"}}
	removed := options(KindFailed)
	removed.Recipients[0].Reply = smtp.NewReply(550, smtp.EnhancedCode{5, 3, 0}, "QUEUE.Admin;message removed by an administrator")
	removed.Recipients[0].LastError, removed.Recipients[0].RemoteHost = "450 4.7.1 Greylisted", ""
	refused := options(KindFailed)
	refused.Recipients = []Recipient{
		{
			Address: "nobody@b.example", Reply: smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "No such user"), LastError: "550 5.1.1 No such user",
			RemoteHost: "mail.b.example [192.0.2.1]:25", LastAttempt: refused.Now,
		},
		{Address: "somebody@c.example", Reply: smtp.NewReply(556, smtp.EnhancedCode{5, 1, 10}, "c.example accepts no mail"), LastError: "556 5.1.10 c.example accepts no mail"},
	}
	relayed := options(KindRelayed)
	relayed.EnvelopeID = "QQ314+2B159"
	relayed.Recipients = []Recipient{{
		Address: "bob@woodgrovebank.com", OriginalRecipient: "rfc822;Bob+2Bbills@WoodgroveBank.com",
		Reply: smtp.NewReply(250, smtp.EnhancedCode{2, 6, 0}, "Queued"), RemoteHost: "mail1.woodgrovebank.com [192.0.2.1]:25", LastAttempt: relayed.Now,
	}}
	delivered := relayed
	delivered.Kind = KindDelivered
	international := options(KindFailed)
	international.UTF8 = true
	international.To.LocalPart = "al\u00efce"
	international.Original = []byte("From: <al\u00efce@contoso.com>\r\nSubject: Tarif\r\n")
	international.Recipients = []Recipient{{
		Address: "bj\u00f6rn@b.example", OriginalRecipient: `utf-8;bj\x{F6}rn@b.example`,
		Reply: smtp.NewReply(553, smtp.EnhancedCode{5, 6, 7}, "no SMTPUTF8"), RemoteHost: "mail.b.example [192.0.2.1]:25", LastAttempt: international.Now,
	}}
	full := refused
	full.Content = []byte("Subject: Gr\u00fc\u00dfe\r\n\r\nHello\r\n")
	for name, o := range map[string]Options{
		"failed": options(KindFailed), "delayed": options(KindDelayed), "expired": expired, "refused": refused, "removed": removed,
		"relayed": relayed, "delivered": delivered, "international": international, "full": full,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Build(o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("report differs (-want +got):\n%s", diff)
			}
		})
	}
}

// parts reads a report with the standard library, as a foreign program would.
func parts(t *testing.T, report []byte) (*mail.Message, []string, []string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type is %q %v: %v", kind, params, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	var types, bodies []string
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, types, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		types, bodies = append(types, p.Header.Get("Content-Type")), append(bodies, string(b))
	}
}

func TestBuildIsReadByTheStandardLibrary(t *testing.T) {
	report, err := Build(options(KindFailed))
	if err != nil {
		t.Fatal(err)
	}
	m, types, bodies := parts(t, report)
	if diff := cmp.Diff([]string{"text/plain; charset=us-ascii", "message/delivery-status", "text/rfc822-headers"}, types); diff != "" {
		t.Error(diff)
	}
	if got := m.Header.Get("Auto-Submitted"); got != "auto-replied" {
		t.Errorf("Auto-Submitted is %q", got)
	}
	for _, want := range []string{"Final-Recipient: rfc822; bob@woodgrovebank.com", "Action: failed", "Status: 4.7.5", "Reporting-MTA: dns; mail1.contoso.com"} {
		if !strings.Contains(bodies[1], want) {
			t.Errorf("the status part lacks %q:\n%s", want, bodies[1])
		}
	}
	if bodies[2] != string(options(KindFailed).Original) {
		t.Errorf("the original header came back as %q", bodies[2])
	}
}

func TestBuildKeepsStrangersInTheirPlace(t *testing.T) {
	evil := "x\r\nBcc: victim@example.com\r\n\r\n--=_ \x00é" + strings.Repeat("A", 3000)
	o := options(KindFailed)
	o.Subject, o.OriginalMessageID = evil, evil
	o.Original = []byte("Subject: a\n\n\r\nX-Bare: b\rc\r\n--" + "=_x\r\nX-Eight: \xe9\r\n" + strings.Repeat("B", 2000))
	o.Recipients[0].Address, o.Recipients[0].RemoteHost, o.Recipients[0].LastError = evil, evil, evil
	o.Recipients[0].Reply.Lines = []string{evil}
	report, err := Build(o)
	if err != nil {
		t.Fatal(err)
	}
	m, types, _ := parts(t, report)
	if len(types) != 3 {
		t.Errorf("the report has %d parts", len(types))
	}
	if got := m.Header.Get("Bcc"); got != "" {
		t.Errorf("a field was injected: %q", got)
	}
	for line := range bytes.SplitSeq(report, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("a line breaks the rules (%d octets): %.100q", len(line), line)
		}
	}
	for _, c := range report {
		if c >= 0x80 {
			t.Fatalf("the report has an 8-bit octet")
		}
	}
}

// TestOriginalComesBackWhole: what is not ASCII is quoted, not lost.
func TestOriginalComesBackWhole(t *testing.T) {
	o := options(KindFailed)
	o.Original = []byte("Subject: Gr\xfc\xdfe = \x01\r\n\tfolded\r\n")
	report, err := Build(o)
	if err != nil {
		t.Fatal(err)
	}
	_, _, bodies := parts(t, report)
	got, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(bodies[2])))
	if err != nil || string(got) != string(o.Original) {
		t.Errorf("the original header came back as %q, %v", got, err)
	}
	if !strings.Contains(string(report), "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n") {
		t.Error("its part does not say so")
	}
}

// TestContent: the whole original comes back where it can stand in a report.
func TestContent(t *testing.T) {
	tests := []struct {
		name    string
		kind    Kind
		content string
		want    string // type of the part
	}{
		{"text", KindFailed, "A: b\r\n\r\nc\r\n", "message/rfc822"},
		{"8 bit", KindFailed, "A: b\r\n\r\n\xe9\r\n", "message/rfc822"},
		{"without an end", KindFailed, "A: b\r\n\r\nc", "message/rfc822"},
		{"none", KindFailed, "", "text/rfc822-headers"},
		{"not a failure", KindRelayed, "A: b\r\n\r\nc\r\n", "text/rfc822-headers"},
		{"binary", KindFailed, "A: b\r\n\r\na\nb", "text/rfc822-headers"},
		{"NUL", KindFailed, "A: b\r\n\r\n\x00", "text/rfc822-headers"},
		{"a line too long", KindFailed, "A: b\r\n\r\n" + strings.Repeat("x", 999), "text/rfc822-headers"},
		{"a line of the limit", KindFailed, "A: b\r\n\r\n" + strings.Repeat("x", 998), "message/rfc822"},
		{"a report inside", KindFailed, "A: b\r\n\r\n--BOUNDARY\r\n", "text/rfc822-headers"},
	}
	for _, tt := range tests {
		o := options(tt.kind)
		plain, err := Build(o)
		if err != nil {
			t.Fatal(err)
		}
		m, _, _ := parts(t, plain)
		_, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
		content := strings.Replace(tt.content, "BOUNDARY", params["boundary"], 1)
		o.Content = []byte(content)
		report, err := Build(o)
		if err != nil {
			t.Fatal(err)
		}
		_, types, bodies := parts(t, report)
		if len(types) != 3 || types[2] != tt.want || tt.want == "message/rfc822" && bodies[2] != content {
			t.Errorf("%s: %q\n%q", tt.name, types, bodies)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := map[string]func(*Options){
		"no kind":        func(o *Options) { o.Kind = KindUnknown },
		"a strange kind": func(o *Options) { o.Kind = 99 },
		"no recipients":  func(o *Options) { o.Recipients = nil },
		"null sender":    func(o *Options) { o.To = smtp.Mailbox{} },
	}
	for name, spoil := range tests {
		o := options(KindFailed)
		spoil(&o)
		if _, err := Build(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		name string
		k    Kind
		r    smtp.Reply
		want string
	}{
		{"enhanced code of the reply", KindFailed, smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "no"), "5.1.1"},
		{"reply without one", KindFailed, smtp.NewReply(550, smtp.EnhancedCode{}, "no"), "5.0.0"},
		{"no reply", KindFailed, smtp.Reply{}, "5.0.0"},
		{"temporary reply", KindFailed, smtp.NewReply(451, smtp.EnhancedCode{}, "later"), "4.0.0"},
		{"delayed", KindDelayed, smtp.Reply{}, "4.0.0"},
		{"relayed", KindRelayed, smtp.NewReply(250, smtp.EnhancedCode{2, 6, 0}, "ok"), "2.6.0"},
		{"relayed without a code", KindRelayed, smtp.NewReply(250, smtp.EnhancedCode{}, "ok"), "2.0.0"},
		{"delivered", KindDelivered, smtp.NewReply(250, smtp.EnhancedCode{2, 1, 5}, "ok"), "2.1.5"},
	}
	for _, tt := range tests {
		if got := status(tt.k, tt.r); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
