package sink

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLedger(t *testing.T) {
	var l ledger
	t0 := time.Unix(1000, 0)
	for i, n := range []int64{3, 0, 3, -1, 1} {
		l.add(n, t0.Add(time.Duration(i)*time.Second))
	}
	if l.messages != 5 || l.distinct != 3 || l.unnumbered != 1 {
		t.Errorf("messages %d, distinct %d, unnumbered %d", l.messages, l.distinct, l.unnumbered)
	}
	if distinct, last := l.progress(); distinct != 3 || !last.Equal(t0.Add(4*time.Second)) || !l.first.Equal(t0) {
		t.Errorf("progress %d, %s; first %s", distinct, last, l.first)
	}
}

func TestFinderFindsTheNumberHoweverItIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(0, 9_999_999_999).Draw(t, "number")
		text := "Received: by gateway\r\n" + string(marker) + pad(number) + "\r\nSubject: x\r\n\r\nbody\r\n"
		var f finder
		f.reset()
		for len(text) > 0 {
			n := rapid.IntRange(1, len(text)).Draw(t, "cut")
			f.look([]byte(text[:n]))
			text = text[n:]
		}
		if f.number != number {
			t.Fatalf("found %d, want %d", f.number, number)
		}
	})
}

func TestFinderGivesUp(t *testing.T) {
	var f finder
	f.reset()
	for range 3 {
		f.look([]byte(strings.Repeat("x", maxCarried)))
	}
	f.look([]byte(string(marker) + pad(1)))
	if f.number >= 0 || len(f.carried) > 3*maxCarried {
		t.Errorf("number %d after %d octets", f.number, len(f.carried))
	}
	f.reset()
	f.look([]byte(string(marker) + "not digits"))
	if f.number >= 0 {
		t.Errorf("number %d in letters", f.number)
	}
}

func pad(n int64) string {
	b := make([]byte, numberDigits)
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b)
}
