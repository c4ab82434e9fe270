package wire_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailpact/bench/wire"
)

func TestReply(t *testing.T) {
	tests := []struct {
		name, in string
		want     int
		fails    bool
	}{
		{"one line", "250 2.0.0 ok\r\n", 250, false},
		{"several lines", "250-a\r\n250-b\r\n250 c\r\n", 250, false},
		{"code alone", "354\r\n", 354, false},
		{"no reply", "hello\r\n", 0, true},
		{"letters for digits", "2xx ok\r\n", 0, true},
		{"cut off", "250-a\r\n", 0, true},
		{"longer than the buffer", "250 " + strings.Repeat("x", 100) + "\r\n", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := wire.NewReader(strings.NewReader(tt.in), 64).Reply()
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("Reply() = %d, %v", got, err)
			}
		})
	}
}

func TestDataEndsAtTheDot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.StringMatching(`([.\r\nab]{0,40}\r\n)?`).Draw(t, "body")
		if strings.HasPrefix(body, ".\r\n") || strings.Contains(body, "\r\n.\r\n") {
			t.Skip("ends within")
		}
		r := wire.NewReader(iotest.OneByteReader(strings.NewReader(body+".\r\nQUIT\r\n")), 16)
		var got []byte
		n, err := r.Data(func(b []byte) { got = append(got, b...) })
		if err != nil || n != int64(len(body)) {
			t.Fatalf("Data() = %d, %v; want %d octets", n, err, len(body))
		}
		if diff := cmp.Diff(body, string(got)); diff != "" {
			t.Fatal(diff)
		}
		if line, err := r.Line(); err != nil || string(line) != "QUIT" {
			t.Fatalf("what follows is %q, %v", line, err)
		}
	})
}

func TestDataCutOff(t *testing.T) {
	r := wire.NewReader(strings.NewReader("abc\r\n."), 16)
	if _, err := r.Data(func([]byte) {}); !errors.Is(err, io.EOF) {
		t.Errorf("a body without its dot ends with %v", err)
	}
}
