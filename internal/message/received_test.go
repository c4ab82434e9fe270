package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

var day = time.Date(2026, 2, 3, 9, 15, 0, 0, time.UTC)

var tls13 = &domainsec.TLSFacts{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256"}

func forward(local string, domain smtp.Domain) *smtp.ForwardPath {
	return &smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: local, Domain: domain}}
}

func TestReceived(t *testing.T) {
	tests := []struct {
		name string
		o    ReceivedOptions
		want string
	}{
		{"domain-secured", ReceivedOptions{
			Hello: "mail1.woodgrovebank.com", Extended: true, Client: netip.MustParseAddr("198.51.100.7"), By: "mail.contoso.com",
			TLS: tls13, ClientCertificate: &domainsec.CertificateFacts{Subject: "CN=mail1.woodgrovebank.com, O=Woodgrove Bank"},
			ClientVerify: "woodgrovebank.com", SessionID: "08D1A2B3C4D5E6F7", MessageID: "1", For: forward("bob", "contoso.com"), Date: day,
		}, "Received: from mail1.woodgrovebank.com (unknown [198.51.100.7])\r\n" +
			" by mail.contoso.com with ESMTPS\r\n" +
			" (TLSv1.3 cipher TLS_AES_128_GCM_SHA256; client certificate subject\r\n" +
			" CN=mail1.woodgrovebank.com, O=Woodgrove Bank, verify woodgrovebank.com)\r\n" +
			" id 08D1A2B3C4D5E6F7/1 for <bob@contoso.com>; Tue, 3 Feb 2026 09:15:00 +0000\r\n"},
		{"TLS without certificate", ReceivedOptions{
			Hello: "a.example", Extended: true, Client: netip.MustParseAddr("2001:db8::1"), By: "mail.contoso.com", TLS: tls13, SessionID: "1", Date: day,
		}, "Received: from a.example (unknown [IPv6:2001:db8::1])\r\n" +
			" by mail.contoso.com with ESMTPS\r\n" +
			" (TLSv1.3 cipher TLS_AES_128_GCM_SHA256; client certificate none) id 1;\r\n" +
			" Tue, 3 Feb 2026 09:15:00 +0000\r\n"},
		{"certificate without subject, not asked about", ReceivedOptions{
			Hello: "a.example", Extended: true, By: "mail.contoso.com", TLS: tls13, ClientCertificate: &domainsec.CertificateFacts{}, SessionID: "1", Date: day,
		}, "Received: from a.example (unknown) by mail.contoso.com with ESMTPS\r\n" +
			" (TLSv1.3 cipher TLS_AES_128_GCM_SHA256; client certificate subject empty,\r\n" +
			" not verified) id 1; Tue, 3 Feb 2026 09:15:00 +0000\r\n"},
		{"ESMTP", ReceivedOptions{
			Hello: "a.example", Extended: true, Client: netip.MustParseAddr("::ffff:192.0.2.1"), By: "b.example", SessionID: "1", Date: day,
		}, "Received: from a.example (unknown [192.0.2.1]) by b.example with ESMTP id 1;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n"},
		{
			"SMTP, and nothing known",
			ReceivedOptions{Date: day.In(time.FixedZone("", -3600))},
			"Received: from unknown (unknown) by unknown with SMTP;\r\n Tue, 3 Feb 2026 08:15:00 -0100\r\n",
		},
		{
			"address literal",
			ReceivedOptions{Hello: "[192.0.2.1]", By: "b.example", Date: day},
			"Received: from [192.0.2.1] (unknown) by b.example with SMTP;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
		{
			"address literal, IPv6",
			ReceivedOptions{Hello: "[ipv6:2001:DB8::1]", By: "b.example", Date: day},
			"Received: from [IPv6:2001:db8::1] (unknown) by b.example with SMTP;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
		{
			"hello that is no domain",
			ReceivedOptions{Hello: "my_pc (home); by evil\r\nX: y", By: "b.example", Date: day},
			"Received: from unknown (unknown) (helo my_pc %28home%29%3B by evil%0D%0AX: y)\r\n by b.example with SMTP; Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
		{
			"recipient that could be folded",
			ReceivedOptions{Hello: "a.example", By: "b.example", For: forward("a b", "contoso.com"), Date: day},
			"Received: from a.example (unknown) by b.example with SMTP;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
		{
			"postmaster without domain",
			ReceivedOptions{Hello: "a.example", By: "b.example", For: forward("postmaster", ""), Date: day},
			"Received: from a.example (unknown) by b.example with SMTP for <postmaster>;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
		{
			"odd session id",
			ReceivedOptions{Hello: "a.example", By: "b.example", SessionID: "a/b (c)\r\n", MessageID: "4 2", Date: day},
			"Received: from a.example (unknown) by b.example with SMTP id abc/42;\r\n Tue, 3 Feb 2026 09:15:00 +0000\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(Received(tt.o))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, got)
			}
			checkOwnField(t, got, "Received")
		})
	}
}

// checkOwnField holds what must be true of a field that we make, whatever went into it.
func checkOwnField(t testing.TB, field, name string) {
	t.Helper()
	h := readHeaderString(field)
	if len(h.Fields()) != 1 || h.Fields()[0].Name() != name || h.separator != nil {
		t.Fatalf("%q is not one field named %s", field, name)
	}
	if !strings.HasSuffix(field, "\r\n") {
		t.Fatalf("%q has no end", field)
	}
	for i, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n") || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f }) >= 0 {
			t.Fatalf("line %q holds more than printable ASCII", line)
		}
		if len(line) > maxLine || len(line) > 78 && strings.Contains(strings.TrimPrefix(line[1:], name[1:]+": "), " ") {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
		if i > 0 && (line == "" || line[0] != ' ' || strings.TrimSpace(line) == "") {
			t.Errorf("continuation line %q", line)
		}
	}
}

func FuzzReceived(f *testing.F) {
	f.Add("a.example", "CN=a", "a.example", "08D1", "bob")
	f.Add("a\r\n\r\nb", "CN=\"a\r\nX: y", "(;)", "\x00/", "\"\r\n\"")
	f.Fuzz(func(t *testing.T, hello, subject, verify, id, local string) {
		got := string(Received(ReceivedOptions{
			Hello: hello, Extended: true, By: hello, TLS: &domainsec.TLSFacts{Version: verify, CipherSuite: id},
			ClientCertificate: &domainsec.CertificateFacts{Subject: subject}, ClientVerify: verify, SessionID: id, MessageID: hello,
			For: forward(local, "contoso.com"), Date: day,
		}))
		checkOwnField(t, got, "Received")
		// Comments are balanced and the one ";" outside them stands before the date.
		depth, semicolons := 0, 0
		clauses, _, _ := strings.Cut(got, " for <")
		for _, c := range clauses {
			switch c {
			case '(':
				depth++
			case ')':
				depth--
			case ';':
				if depth == 0 {
					semicolons++
				}
			}
		}
		if depth != 0 || semicolons > 1 || !strings.HasSuffix(got, "Tue, 3 Feb 2026 09:15:00 +0000\r\n") {
			t.Fatalf("parentheses %d deep, %d semicolons in %q", depth, semicolons, got)
		}
	})
}
