package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// readSlowLine is the rule for command lines in its plainest form: up to the
// first LF, octet by octet.
func readSlowLine(in string) (line, rest string, err error) {
	i := strings.IndexByte(in, '\n')
	if i < 0 {
		return "", "", io.EOF
	}
	raw, rest := in[:i+1], in[i+1:]
	switch {
	case !strings.HasSuffix(raw, "\r\n"):
		return "", rest, errCommandBare
	case len(raw) > maxCommandLineBytes:
		return "", rest, errCommandTooLong
	case strings.Count(raw, "\r") > 1:
		return "", rest, errCommandBare
	}
	return raw[:len(raw)-2], rest, nil
}

func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{
		"NOOP\r\nQUIT\r\n", "NO", "a\nb\r\n", "a\rb\r\n", "\r\n", "\n", strings.Repeat("x", 600) + "\r\nNOOP\r\n",
		strings.Repeat("x", 553) + "\r\n", strings.Repeat("x", 554) + "\r\n", "MAIL FROM:<a@b.c> SIZE=1 BODY=7BIT\r\n",
	} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(9))
	}
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		r := bufio.NewReaderSize(&steppedReader{s: in, step: int(step)%20 + 1}, bodyBufferBytes)
		for rest := in; ; {
			want, wantRest, wantErr := readSlowLine(rest)
			got, err := readCommandLine(r)
			if errors.Is(wantErr, errCommandBare) || errors.Is(err, errCommandBare) {
				// Of a line that is too long, only the end is looked at for bare octets.
				if err == nil || errors.Is(err, io.EOF) {
					t.Fatalf("bare: %q, %v", got, err)
				}
				return
			}
			if errors.Is(err, errCommandEndless) && len(rest) > maxSkippedBytes {
				return
			}
			if !errors.Is(err, wantErr) || string(got) != want {
				t.Fatalf("got %q, %v; want %q, %v", got, err, want, wantErr)
			}
			if errors.Is(err, io.EOF) {
				return
			}
			parseAnything(t, got)
			rest = wantRest
		}
	})
}

const allKeywords = KeywordSMTPUTF8<<1 - 1

// parseAnything runs the parsers of arguments, which must not fail in any other
// way than by saying no.
func parseAnything(t *testing.T, line []byte) {
	v, argument := parseCommand(line)
	if int(v) < len(verbNames) && v != verbUnknown && !bytes.EqualFold(line[:len(verbNames[v])], []byte(verbNames[v])) {
		t.Fatalf("%q is no %s", line, verbNames[v])
	}
	_ = loggedCommand(line)
	for _, prefix := range []string{"FROM:", "TO:"} {
		path, parameters, ok := cutPath(argument, prefix)
		if !ok {
			continue
		}
		if path[0] != '<' || path[len(path)-1] != '>' {
			t.Fatalf("path %q of %q", path, line)
		}
		p, fault := parseMailParameters(parameters, allKeywords)
		if fault == nil && p.Size < 0 {
			t.Fatalf("size %d of %q", p.Size, line)
		}
		_, _ = parseRecipientParameters(parameters, allKeywords, len(line)%2 == 0)
	}
}

func TestParseSize(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"1", 1, true},
		{"00000000000000000012", 12, true},
		{"9223372036854775799", 9223372036854775799, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", math.MaxInt64, true},
		{"99999999999999999999", math.MaxInt64, true},
		{"000000000000000000001", 0, false},
		{"", 0, false},
		{"-1", 0, false},
		{"1k", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseSize([]byte(tt.in)); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %d, %v; want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestLoggedCommand(t *testing.T) {
	for in, want := range map[string]string{
		"MAIL FROM:<a@b.c>":         "MAIL FROM:<a@b.c>",
		"AUTH PLAIN c2VjcmV0":       "AUTH PLAIN *",
		"auth  login c2VjcmV0 more": "auth login *",
		"AUTH LOGIN":                "AUTH LOGIN",
		"X\x00\x1b[31m":             `X\x00\x1B[31m`,
		strings.Repeat("x", 2000):   strings.Repeat("x", maxTranscriptBytes),
	} {
		if got := loggedCommand([]byte(in)); got != want {
			t.Errorf("%.20q: got %.50q, want %.50q", in, got, want)
		}
	}
}

// HELP names every command, and each of them is known.
func TestVerbNames(t *testing.T) {
	for v, name := range verbNames {
		if verb(v) == verbUnknown {
			continue
		}
		if got, _ := parseCommand([]byte(strings.ToLower(name))); got != verb(v) {
			t.Errorf("%s is verb %d, not %d", name, got, v)
		}
	}
	if len(verbNames) != int(verbNotImplemented) {
		t.Errorf("%d names for %d verbs", len(verbNames), verbNotImplemented)
	}
}
