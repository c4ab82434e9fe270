package smtp

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDecodeXtext(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"", "", true},
		{"abc!~", "abc!~", true},
		{"a+2Bb+3D+20c+09", "a+b= c\t", true},
		{"+2b", "", false}, // upper case only
		{"+2", "", false},
		{"+", "", false},
		{"a=b", "", false},
		{"a b", "", false},
		{"+0D+0A", "", false}, // a line of its own in a report
		{"+00", "", false},
		{"+FF", "", false},
		{"+7F", "", false},
		{"\xc3\xa4", "", false},
		{"a\r\nb", "", false},
	}
	for _, tt := range tests {
		if got, ok := DecodeXtext(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %q, %v", tt.in, got, ok)
		}
	}
}

func TestOriginalRecipient(t *testing.T) {
	tests := []struct {
		in         string
		utf8       bool
		kept       OriginalRecipient // "" when refused
		kind, show string
	}{
		{"rfc822;Bob@Two.example", false, "rfc822;Bob@Two.example", "rfc822", "Bob@Two.example"},
		{"RFC822;a+2Bb@c", false, "RFC822;a+2Bb@c", "RFC822", "a+b@c"},
		{"x400;/C=de", false, "", "", ""},
		{"x400;/C+3Dde/", false, "x400;/C+3Dde/", "x400", "/C=de/"},
		{"rfc822;", false, "rfc822;", "rfc822", ""},
		{"rfc822", false, "", "", ""},
		{";a", false, "", "", ""},
		{"a.b;c", false, "", "", ""},
		{"rfc 822;c", false, "", "", ""},
		{"utf-8;bj\\x{F6}rn@two.example", false, `utf-8;bj\x{F6}rn@two.example`, "utf-8", `bj\x{F6}rn@two.example`},
		{"utf-8;bj\u00f6rn@two.example", true, `utf-8;bj\x{F6}rn@two.example`, "utf-8", `bj\x{F6}rn@two.example`},
		{"UTF-8;\U0001F600@two.example", true, `UTF-8;\x{1F600}@two.example`, "UTF-8", `\x{1F600}@two.example`},
		{"utf-8;bj\u00f6rn@two.example", false, "", "", ""},
		{"rfc822;bj\u00f6rn@two.example", true, "", "", ""},
		{"utf-8;bj\xf6rn@two.example", true, "", "", ""},
		{"utf-8;a+b", false, "", "", ""},
		{"utf-8;a\u00f6 b", true, "", "", ""},
	}
	for _, tt := range tests {
		got, ok := parseOriginalRecipient([]byte(tt.in), tt.utf8)
		if ok != (tt.kept != "") || ok && got != tt.kept {
			t.Errorf("%q: got %q, %v", tt.in, got, ok)
			continue
		}
		if kind, show, again := got.Decode(); ok && (kind != tt.kind || show != tt.show || !again) {
			t.Errorf("%q: shown as %q, %q, %v", tt.in, kind, show, again)
		}
	}
	if _, _, ok := OriginalRecipient("rfc822;" + strings.Repeat("x", 494)).Decode(); ok {
		t.Error("more than 500 octets")
	}
}

// The ASCII form of any address can stand in a command and comes back.
func TestUTF8Address(t *testing.T) {
	if got := string(AppendUTF8Address(nil, "a\\+= \u00f6\U0001F600\x00")); got != `a\x{5C}\x{2B}\x{3D}\x{20}\x{F6}\x{1F600}\x{00}` {
		t.Errorf("got %s", got)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := AppendUTF8Address(nil, rapid.String().Draw(rt, "address"))
		o, ok := parseOriginalRecipient(append([]byte("utf-8;"), b...), false)
		if _, show, again := o.Decode(); len(b) < 480 && (!ok || !again || show != string(b)) {
			rt.Fatalf("%q: %q, %v", b, show, ok)
		}
	})
}

func TestNotify(t *testing.T) {
	tests := []struct {
		in                      string
		ok                      bool
		success, failure, delay bool
		out                     string
	}{
		{"NEVER", true, false, false, false, "NEVER"},
		{"never", true, false, false, false, "NEVER"},
		{"SUCCESS", true, true, false, false, "SUCCESS"},
		{"delay,SUCCESS", true, true, false, true, "SUCCESS,DELAY"},
		{"FAILURE,FAILURE", true, false, true, false, "FAILURE"},
		{"NEVER,NEVER", true, false, false, false, "NEVER"},
		{"NEVER,SUCCESS", false, false, false, false, ""},
		{"", false, false, false, false, ""},
		{"SUCCESS,", false, false, false, false, ""},
		{"ALWAYS", false, false, false, false, ""},
	}
	for _, tt := range tests {
		n, ok := parseNotify([]byte(tt.in))
		if ok != tt.ok {
			t.Errorf("%q: %v", tt.in, ok)
		}
		if ok && (n.Wants(NotifySuccess) != tt.success || n.Wants(NotifyFailure) != tt.failure || n.Wants(NotifyDelay) != tt.delay || n.String() != tt.out) {
			t.Errorf("%q: %s", tt.in, n)
		}
	}
	if unset := Notify(0); unset.Wants(NotifySuccess) || !unset.Wants(NotifyFailure) || !unset.Wants(NotifyDelay) || unset.String() != "" {
		t.Error("the default is failure and delay")
	}
}
