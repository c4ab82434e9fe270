package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"
)

// TestHeaderMemory: a header has little more memory than it needs, asks for all
// of it first, and gives it back when its message's body begins.
func TestHeaderMemory(t *testing.T) {
	const limit = 64 << 10
	for _, tt := range []struct {
		name   string
		header string
		most   int64
		want   error
	}{
		{"small", "From: a@b.example\r\nSubject: x\r\n\r\n", firstHeaderBuffer + 2*fieldOctets, nil},
		{"63 KB in one field", "X: " + strings.Repeat("x", 63<<10) + "\r\n\r\n", limit + 2<<10, nil},
		{"63 KB without end", "X: " + strings.Repeat("x", 66<<10), limit + 2<<10, ErrHeaderTooLarge},
		{"20,000 elements", strings.Repeat("a\r\n", 20_000) + "\r\n", limit + 2<<10 + 20_000*fieldOctets, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				var r io.Reader = strings.NewReader(tt.header + "body\r\n")
				if slow {
					r = iotest.OneByteReader(r)
				}
				var held, most int64
				h, err := ReadHeaderWithin(r, limit, func(n int64) error {
					held, most = n, max(most, n)
					return nil
				})
				if !errors.Is(err, tt.want) {
					t.Fatalf("error %v", err)
				}
				if most > tt.most || most == 0 {
					t.Errorf("%d octets were asked for, want at most %d", most, tt.most)
				}
				if err != nil {
					continue
				}
				if has := int64(cap(h.buf)) + int64(cap(h.fields))*int64(unsafe.Sizeof(Field{})); has > held {
					t.Errorf("the header has %d octets and asked for %d", has, held)
				}
				if got := string(h.AppendTo(nil)); got != tt.header {
					t.Errorf("%d octets of header, want %d", len(got), len(tt.header))
				}
				body, err := io.ReadAll(h.Body(r))
				if string(body) != "body\r\n" || err != nil {
					t.Errorf("body %q, %v", body, err)
				}
				if held != 0 || h.buf != nil || h.fields != nil {
					t.Errorf("%d octets are still held", held)
				}
			}
		})
	}
}

// TestHeaderWithoutMemory: reading ends where the memory does.
func TestHeaderWithoutMemory(t *testing.T) {
	errSpent := errors.New("spent")
	for _, granted := range []int64{0, 4 << 10, 20 << 10, 40 << 10} {
		r := strings.NewReader(strings.Repeat("a: 1234567890\r\n", 3000) + "\r\n")
		_, err := ReadHeaderWithin(r, 1<<20, func(n int64) error {
			if n > granted {
				return errSpent
			}
			return nil
		})
		if !errors.Is(err, errSpent) {
			t.Errorf("with %d octets: %v", granted, err)
		}
		if read := r.Size() - int64(r.Len()); read > granted {
			t.Errorf("with %d octets: %d were read", granted, read)
		}
	}
}
