package message

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOutboundFilter(t *testing.T) {
	long := strings.Repeat("A line of the body.\r\n", 10_000)
	tests := []struct{ name, in, want string }{
		{"nothing to remove", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n\r\nbody\r\n"},
		{"nothing", "", ""},
		{"no header", "\r\nbody", "\r\nbody"},
		{"the first", "Mailpact-A: 1\r\nB: 2\r\n\r\nbody\r\n", "B: 2\r\n\r\nbody\r\n"},
		{"the last", "B: 2\r\nMailpact-A: 1\r\n\r\nbody\r\n", "B: 2\r\n\r\nbody\r\n"},
		{"several", "Mailpact-A: 1\r\n x\r\nB: 2\r\n y\r\nMailpact-C: 3\r\nAuthentication-Results: contoso.com; none\r\nD: 4\r\n\r\nbody\r\n", "B: 2\r\n y\r\nD: 4\r\n\r\nbody\r\n"},
		{"all", "Mailpact-A: 1\r\n\r\nbody\r\n", "\r\nbody\r\n"},
		{"all there is", "Mailpact-A: 1", ""},
		{"not in the body", "A: 1\r\n\r\nMailpact-A: 1\r\n", "A: 1\r\n\r\nMailpact-A: 1\r\n"},
		{"long body", "Mailpact-A: 1\r\nB: 2\r\n\r\n" + long, "B: 2\r\n\r\n" + long},
		{"long header", "Mailpact-A: 1\r\nB: " + strings.Repeat("x", 100_000) + "\r\n\r\n" + long, "B: " + strings.Repeat("x", 100_000) + "\r\n\r\n" + long},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := iotest.TestReader(NewOutboundFilter(strings.NewReader(tt.in), contoso, 0), []byte(tt.want)); err != nil {
				t.Error(err)
			}
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
				var b bytes.Buffer
				n, err := io.Copy(&b, NewOutboundFilter(r, contoso, 0))
				if err != nil || n != int64(len(tt.want)) || b.String() != tt.want {
					t.Errorf("copied %d octets, %v, want %d: %.200q", n, err, len(tt.want), b.String())
				}
			}
			// A reader that is copied after a first Read goes on where that stopped.
			f := NewOutboundFilter(strings.NewReader(tt.in), contoso, 0)
			first := make([]byte, 3)
			k, _ := f.Read(first)
			var b bytes.Buffer
			if _, err := io.Copy(&b, f); err != nil || string(first[:k])+b.String() != tt.want {
				t.Errorf("after a Read: %.200q, %v", b.String(), err)
			}
		})
	}
}

func TestOutboundFilterErrors(t *testing.T) {
	tooLong := strings.Repeat("x", 3*DefaultHeaderLimit)
	for _, limit := range []int64{1, DefaultHeaderLimit} {
		f := NewOutboundFilter(strings.NewReader(tooLong), contoso, limit)
		if b, err := io.ReadAll(f); !errors.Is(err, ErrHeaderTooLarge) || len(b) != 0 {
			t.Errorf("limit %d: %d octets, %v", limit, len(b), err)
		}
		if _, err := f.Read(make([]byte, 1)); !errors.Is(err, ErrHeaderTooLarge) {
			t.Errorf("a second time: %v", err)
		}
		if _, err := io.Copy(io.Discard, NewOutboundFilter(strings.NewReader(tooLong), contoso, limit)); !errors.Is(err, ErrHeaderTooLarge) {
			t.Errorf("limit %d, copied: %v", limit, err)
		}
	}
	for _, limit := range []int64{0, math.MaxInt64} {
		if _, err := io.Copy(io.Discard, NewOutboundFilter(strings.NewReader(tooLong), contoso, limit)); err != nil {
			t.Errorf("without limit: %v", err)
		}
	}
	for _, joined := range []bool{false, true} {
		b, err := io.ReadAll(NewOutboundFilter(&failAfter{"A: 1\r\n\r\nbody", joined}, contoso, 0))
		if string(b) != "A: 1\r\n\r\nbody" || !errors.Is(err, errWire) {
			t.Errorf("fault in the body: %q, %v", b, err)
		}
		var c bytes.Buffer
		if _, err := io.Copy(&c, NewOutboundFilter(&failAfter{"A: 1\r\n\r\nbody", joined}, contoso, 0)); c.String() != "A: 1\r\n\r\nbody" || !errors.Is(err, errWire) {
			t.Errorf("fault in the body, copied: %q, %v", c.String(), err)
		}
	}
	if _, err := io.Copy(failingWriter{}, NewOutboundFilter(strings.NewReader("A: 1\r\n\r\nbody"), contoso, 0)); !errors.Is(err, errWire) {
		t.Errorf("a writer that fails: %v", err)
	}
}

// FuzzOutboundFilter holds that the filter does what reading and removing do.
func FuzzOutboundFilter(f *testing.F) {
	f.Add("Mailpact-A: 1\r\nB: 2\r\n\r\nbody", 3)
	f.Add("B: 2\r\n x\r\nAuthentication-Results: contoso.com\r\n\r\n", 100)
	f.Fuzz(func(t *testing.T, in string, size int) {
		r := strings.NewReader(in)
		h, body := readAll(t, r, math.MaxInt64)
		h.Remove(contoso)
		want := string(h.AppendTo(nil)) + body
		filter := NewOutboundFilter(strings.NewReader(in), contoso, math.MaxInt64)
		var got []byte
		buf := make([]byte, 1+min(max(size, 0), 10_000))
		for {
			n, err := filter.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func BenchmarkOutboundFilter(b *testing.B) {
	for _, bb := range []struct{ name, first string }{{"nothing to remove", ""}, {"marked", string(Mark(woodgroveMark()))}} {
		b.Run(bb.name, func(b *testing.B) {
			in := bb.first + benchmarkMessage(10<<10)
			r := strings.NewReader(in)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				r.Reset(in)
				if _, err := io.Copy(io.Discard, NewOutboundFilter(r, contoso, 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMarkAndReceived(b *testing.B) {
	o := woodgroveMark()
	b.ReportAllocs()
	for b.Loop() {
		Mark(o)
		Received(ReceivedOptions{Hello: "mail.example", Extended: true, By: "mail.contoso.com", TLS: tls13, ClientCertificate: &o.Certificate, SessionID: "08D1A2B3C4D5E6F7", Date: day})
	}
}
