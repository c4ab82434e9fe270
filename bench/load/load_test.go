package load

import (
	"strings"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	for _, size := range []int{minMessageBytes, 2 << 10, 10<<10 + 1, 100 << 10} {
		m := newMessage("a@client.test", "b@sink.test", size)
		m.setNumber(4711)
		text := string(m.octets)
		if n := len(text) - len(".\r\n"); n < size || n > size+2 {
			t.Errorf("size %d: the message has %d octets", size, n)
		}
		if !strings.HasSuffix(text, "\r\n.\r\n") {
			t.Errorf("size %d: it ends with %q", size, text[len(text)-10:])
		}
		if !strings.Contains(text, "\r\nX-Bench-Seq: 0000004711\r\n") || !strings.Contains(text, "Message-ID: <0000004711.load@client.test>\r\n") {
			t.Errorf("size %d: the number is not in its places:\n%s", size, text[:300])
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(text, ".\r\n"), "\r\n") {
			if strings.HasPrefix(line, ".") || len(line) > 78 {
				t.Fatalf("size %d: line %q", size, line)
			}
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i))
	}
	tests := []struct {
		name string
		in   []time.Duration
		p    int
		want time.Duration
	}{
		{"nothing", nil, 50, 0},
		{"one", hundred[7:8], 99, 7},
		{"half", hundred, 50, 50},
		{"last", hundred, 99, 99},
		{"beyond", hundred, 100, 99},
	}
	for _, tt := range tests {
		if got := percentile(tt.in, tt.p); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
