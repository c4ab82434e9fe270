package logfile

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAppendValue(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "EHLO mail.example", "EHLO mail.example"},
		{"comma", "454 4.7.5 failure, Reason:Revoked", `"454 4.7.5 failure, Reason:Revoked"`},
		{"quotes", `end with "."`, `"end with ""."""`},
		{"line ends cannot begin a row", "a\r\nb\nc", "a  b c"},
		{"terminal escapes", "a\x1b[31mb\u009bc\u202e", "a [31mb c "},
		{"line separators of Unicode", "a\u2028b\u2029", "a b "},
		{"octets that are no UTF-8", "caf\xe9", "caf?"},
		{"UTF-8 stays", "café", "café"},
		{"spaces at the ends", " a ", `" a "`},
		{"long", strings.Repeat("x", 5000), strings.Repeat("x", 4096) + "..."},
		{"long, of two octets each", strings.Repeat("é", 3000), strings.Repeat("é", 2048) + "..."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(AppendValue([]byte("x"), tt.in)); got != "x"+tt.want {
				t.Errorf("got %q, want %q", got, "x"+tt.want)
			}
		})
	}
	long := strings.Repeat("a@b.example;", 1000)
	if got := string(AppendList(nil, long)); got != long {
		t.Error("AppendList cut a list")
	}
}

func TestAppendTime(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2006, 8, 28, 22, 37, 53, 323e6, time.UTC),
		time.Date(2006, 8, 28, 22, 37, 53, 323999999, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(2026, 1, 1, 0, 30, 0, 5e6, time.FixedZone("", 3600)),
	} {
		if got, want := string(AppendTime(nil, at)), at.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("AppendTime(%v) = %s, want %s", at, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	want := "#Software: Mailpact\n#Version: 1.0\n#Log-type: T\n#Date: 2026-02-03T12:00:00.000Z\n#Fields: a,b\n"
	if got := string(Header("T", "1.0", "a,b", noon)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzAppendValue holds that a value, whatever it is, stays one value of one
// row for a reader of comma-separated values.
func FuzzAppendValue(f *testing.F) {
	f.Add("a,b", "\"")
	f.Add("\r\n", "\x00\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		row := AppendValue([]byte("first,"), a)
		row = append(AppendValue(append(row, ','), b), '\n')
		if strings.Count(string(row), "\n") != 1 || strings.ContainsAny(string(row), "\r\x00\x1b") || !utf8.Valid(row) {
			t.Fatalf("row %q", row)
		}
		got, err := csv.NewReader(strings.NewReader(string(row))).ReadAll()
		if err != nil || len(got) != 1 || len(got[0]) != 3 {
			t.Fatalf("row %q reads as %q, %v", row, got, err)
		}
	})
}
