package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"mailpact/internal/smtp"
)

func anyMailbox(t *rapid.T, label string) smtp.Mailbox {
	return smtp.Mailbox{
		LocalPart: rapid.String().Draw(t, label+" local part"),
		Domain:    smtp.Domain(rapid.StringMatching(`[a-z.]{0,20}`).Draw(t, label+" domain")),
		Literal:   rapid.StringMatching(`(\[[0-9.]{0,9}\])?`).Draw(t, label+" literal"),
	}
}

func anyRecipients(t *rapid.T, least int) []smtp.ForwardPath {
	n := rapid.IntRange(least, 5).Draw(t, "recipients")
	to := make([]smtp.ForwardPath, n)
	for i := range to {
		to[i].Mailbox = anyMailbox(t, "recipient")
	}
	return to
}

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &Message{
			From: smtp.ReversePath{Mailbox: anyMailbox(t, "sender")}, Recipients: anyRecipients(t, 0),
			Body:              smtp.BodyType(rapid.IntRange(0, 3).Draw(t, "body")),
			UTF8:              rapid.Bool().Draw(t, "UTF-8"),
			Return:            smtp.Return(rapid.IntRange(0, 2).Draw(t, "return")),
			EnvelopeID:        rapid.String().Draw(t, "envelope id"),
			InternetMessageID: rapid.String().Draw(t, "id"), Subject: rapid.String().Draw(t, "subject"),
			SessionID: rapid.String().Draw(t, "session"), Connector: rapid.String().Draw(t, "connector"),
			SourceIP: rapid.String().Draw(t, "source"), SecuredDomain: smtp.Domain(rapid.String().Draw(t, "secured")),
		}
		if rapid.Bool().Draw(t, "parameters") {
			want.RecipientParameters = make([]smtp.RecipientParameters, len(want.Recipients))
			for i := range want.RecipientParameters {
				want.RecipientParameters[i] = smtp.RecipientParameters{
					Notify: smtp.Notify(rapid.IntRange(0, 15).Draw(t, "notify")), OriginalRecipient: smtp.OriginalRecipient(rapid.String().Draw(t, "original")),
				}
			}
		}
		got, err := decodeEnvelope(encodeEnvelope(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestStateAndKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &state{
			recipients: anyRecipients(t, 1), attempts: rapid.IntRange(0, 1<<30).Draw(t, "attempts"),
			connection: rapid.Bool().Draw(t, "connection"), delayTold: rapid.Bool().Draw(t, "told"),
			suspended: rapid.Bool().Draw(t, "suspended"), trials: rapid.IntRange(0, maxTrials).Draw(t, "trials"),
			lastError: rapid.String().Draw(t, "error"), remoteHost: rapid.String().Draw(t, "host"),
			lastAttempt: fromMilliseconds(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "at")),
		}
		got, err := decodeState(encodeState(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(state{})); diff != "" {
			t.Fatalf("state (-want +got):\n%s", diff)
		}
		k := Key{
			DeliveryType: rapid.String().Draw(t, "type"), NextHopDomain: rapid.String().Draw(t, "hop"),
			TLSDomain: smtp.Domain(rapid.String().Draw(t, "tls")), Connector: rapid.String().Draw(t, "connector"),
		}
		gotKey, err := decodeKey(encodeKey(k))
		if err != nil || gotKey != k {
			t.Fatalf("key %+v, want %+v, %v", gotKey, k, err)
		}
	})
}

// TestStoredFormIsFixed pins the stored forms: an old queue must be readable.
func TestStoredFormIsFixed(t *testing.T) {
	m := &Message{
		From: smtp.ReversePath{Mailbox: smtp.Mailbox{LocalPart: "a", Domain: "b"}}, Recipients: []smtp.ForwardPath{{Mailbox: smtp.Mailbox{LocalPart: "c", Literal: "[::1]"}}},
		Body: smtp.Body8BitMIME, InternetMessageID: "<i>", Subject: "s", SessionID: "x", Connector: "n", SourceIP: "1.2.3.4", SecuredDomain: "b",
	}
	s := &state{recipients: m.Recipients, attempts: 300, connection: true, delayTold: true, lastError: "e", remoteHost: "h", lastAttempt: time.UnixMilli(1)}
	extended := *m
	extended.UTF8, extended.Return, extended.EnvelopeID = true, smtp.ReturnFull, "+2B"
	extended.RecipientParameters = []smtp.RecipientParameters{{Notify: smtp.NotifySuccess | smtp.NotifyDelay, OriginalRecipient: "rfc822;c"}}
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"extended envelope", encodeEnvelope(nil, &extended), "\x02\x01a\x01b\x00\x01\x01c\x00\x05[::1]\x02\x03<i>\x01s\x01x\x01n\x071.2.3.4\x01b\x01\x01\x03+2B\x01\x0a\x08rfc822;c"},
		{"envelope", encodeEnvelope(nil, m), "\x01\x01a\x01b\x00\x01\x01c\x00\x05[::1]\x02\x03<i>\x01s\x01x\x01n\x071.2.3.4\x01b"},
		{"state", encodeState(nil, s), "\x01\x01\x01c\x00\x05[::1]\xac\x02\x03\x01e\x01h\x02"},
		{"key", encodeKey(Key{DeliveryType: "T", NextHopDomain: "h", TLSDomain: "d", Connector: "c"}), "\x01\x01T\x01h\x01d\x01c"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s is stored as %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := encodeState(nil, &state{recipients: []smtp.ForwardPath{{Mailbox: smtp.Mailbox{LocalPart: "a", Domain: "b"}}}, lastError: "e"})
	for n := range whole {
		if _, err := decodeState(whole[:n]); err == nil {
			t.Errorf("a state cut to %d of %d octets was read", n, len(whole))
		}
	}
	if _, err := decodeState(append(whole, 0)); err == nil {
		t.Error("a state with an octet too many was read")
	}
	if _, err := decodeState(encodeState(nil, &state{})); err == nil {
		t.Error("a delivery for nobody was read")
	}
	_, err := decodeEnvelope([]byte{9, 1, 2})
	if err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("an envelope of another version: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeEnvelope(nil, &Message{Recipients: []smtp.ForwardPath{{}}, Subject: "x"}))
	f.Add(encodeEnvelope(nil, &Message{Recipients: []smtp.ForwardPath{{}}, UTF8: true, RecipientParameters: []smtp.RecipientParameters{{Notify: 1}}}))
	f.Add(encodeState(nil, &state{recipients: []smtp.ForwardPath{{}}, attempts: 3}))
	f.Add(encodeKey(Key{NextHopDomain: "a.example"}))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeEnvelope(b); err == nil && len(encodeEnvelope(nil, m)) > len(b) {
			t.Errorf("the envelope grew from %d octets", len(b))
		}
		if s, err := decodeState(b); err == nil && len(encodeState(nil, s)) > len(b) {
			t.Errorf("the state grew from %d octets", len(b))
		}
		if k, err := decodeKey(b); err == nil && len(encodeKey(k)) > len(b) {
			t.Errorf("the key grew from %d octets", len(b))
		}
	})
}

// The parameters follow their recipients, in whatever order these are.
func TestParametersOf(t *testing.T) {
	to := func(names string) (out []smtp.ForwardPath) {
		for _, c := range names {
			out = append(out, smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: string(c), Domain: "b"}})
		}
		return out
	}
	m := &Message{Recipients: to("abcde")}
	if got := m.ParametersOf(to("ab")); got != nil {
		t.Errorf("parameters out of nothing: %v", got)
	}
	for i := range m.Recipients {
		m.RecipientParameters = append(m.RecipientParameters, smtp.RecipientParameters{OriginalRecipient: smtp.OriginalRecipient(m.Recipients[i].Mailbox.LocalPart)})
	}
	for _, names := range []string{"", "a", "e", "abcde", "ace", "edcba", "dab", "aa", "azb"} {
		got := ""
		for _, p := range m.ParametersOf(to(names)) {
			if p.OriginalRecipient == "" {
				p.OriginalRecipient = "z"
			}
			got += string(p.OriginalRecipient)
		}
		if got != names {
			t.Errorf("%q: %q", names, got)
		}
	}
}

func TestHeaderField(t *testing.T) {
	content := []byte("Date: x\r\nSubject: one\r\n two\r\n\tthree\r\nMessage-id:<a@b>\r\n\r\nX-Body: no\r\n")
	for name, want := range map[string]string{"Subject": "one two\tthree", "Message-ID": "<a@b>", "date": "x", "X-Body": "", "X": ""} {
		if got := headerField(content, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := headerField([]byte("Subject: cut"), "Subject"); got != "cut" {
		t.Errorf("a field without line end is %q", got)
	}
}

func TestFIFO(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f fifo
		var model []*delivery
		for range rapid.IntRange(1, 3000).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "push") > 0 || f.len() == 0 {
				d := &delivery{}
				f.push(d)
				model = append(model, d)
			} else {
				if got := f.pop(); got != model[0] {
					t.Fatal("another delivery came out than the first")
				}
				model = model[1:]
			}
			if f.len() != len(model) {
				t.Fatalf("length %d, want %d", f.len(), len(model))
			}
		}
	})
}
