package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// The specification of mail data: what ends it, what is taken out, what is
// refused. rest is what the command loop reads next.
var dotTests = []struct {
	name, in   string
	body       string // under reject, when err is nil
	err        error  // under reject
	normalized string // under normalize
	rest       string
}{
	{name: "empty", in: ".\r\n", rest: ""},
	{name: "one line", in: "a\r\n.\r\nQUIT\r\n", body: "a\r\n", normalized: "a\r\n", rest: "QUIT\r\n"},
	{name: "stuffed dot", in: "..\r\n.\r\n", body: ".\r\n", normalized: ".\r\n"},
	{name: "stuffed text", in: "..a\r\n...\r\n.\r\n", body: ".a\r\n..\r\n", normalized: ".a\r\n..\r\n"},
	{name: "unstuffed text", in: ".a\r\n.\r\n", body: "a\r\n", normalized: "a\r\n"},
	{name: "dot inside a line", in: "a.\r\nb.c\r\n.\r\n", body: "a.\r\nb.c\r\n", normalized: "a.\r\nb.c\r\n"},
	{name: "empty lines", in: "\r\n\r\n.\r\n", body: "\r\n\r\n", normalized: "\r\n\r\n"},
	{name: "NUL and 8 bit", in: "\x00\xff\r\n.\r\n", body: "\x00\xff\r\n", normalized: "\x00\xff\r\n"},
	{name: "second message behind", in: "a\r\n.\r\n.\r\n", body: "a\r\n", normalized: "a\r\n", rest: ".\r\n"},

	{name: "LF.LF", in: "a\n.\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n.\r\nb\r\n"},
	{name: "LF.CRLF", in: "a\n.\r\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n.\r\nb\r\n"},
	{name: "CRLF.LF", in: "a\r\n.\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\nb\r\n"},
	{name: "CR.CR", in: "a\r.\rb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n.\r\nb\r\n"},
	{name: "CR.CRLF", in: "a\r.\r\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n.\r\nb\r\n"},
	{name: "CRLF.CR", in: "a\r\n.\rb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\nb\r\n"},
	{name: "CRLF.CR.LF", in: "a\r\n.\r.\n\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\n.\r\n\r\n"},
	{name: "CRLF.CRCRLF", in: "a\r\n.\r\r\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\n\r\nb\r\n"},
	{name: "CRCRLF.CRLF", in: "a\r\r\n.\r\nrest", err: ErrBareLine, normalized: "a\r\n\r\n", rest: "rest"},
	{name: "LFCR.CRLF", in: "a\n\r.\r\nb\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\n.\r\nb\r\n"},
	{name: "LFCRLF.CRLF", in: "a\n\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n\r\n"},
	{name: "bare LF first", in: "\n.\r\nb\r\n.\r\n", err: ErrBareLine, normalized: "\r\n.\r\nb\r\n"},
	{name: "bare LF, stuffed dot", in: "a\n..\r\n.\r\n", err: ErrBareLine, normalized: "a\r\n..\r\n"},
	{name: "bare LF behind a taken dot", in: ".\nb\r\n.\r\n", err: ErrBareLine, normalized: "\r\nb\r\n"},
	{name: "NUL before the dot", in: "a\r\n\x00.\r\n.\r\n", body: "a\r\n\x00.\r\n", normalized: "a\r\n\x00.\r\n"},

	{name: "truncated at once", in: "", err: io.ErrUnexpectedEOF},
	{name: "truncated in a line", in: "a\r\nb", err: io.ErrUnexpectedEOF},
	{name: "truncated at a line start", in: "a\r\n", err: io.ErrUnexpectedEOF},
	{name: "truncated behind the dot", in: "a\r\n.", err: io.ErrUnexpectedEOF},
	{name: "truncated behind the CR", in: "a\r\n.\r", err: io.ErrUnexpectedEOF},
	{name: "truncated behind a bare LF", in: "a\nb", err: ErrBareLine},
}

// arrivals are ways in which the same octets can come off the wire.
var arrivals = map[string]func(io.Reader) io.Reader{
	"at once":      func(r io.Reader) io.Reader { return r },
	"by octet":     iotest.OneByteReader,
	"by halves":    iotest.HalfReader,
	"data and EOF": iotest.DataErrReader,
}

func roomy(normalize bool) bodyLimits {
	return bodyLimits{messageBytes: 1 << 20, lineBytes: 1 << 20, normalize: normalize}
}

func TestDotReader(t *testing.T) {
	for _, tt := range dotTests {
		t.Run(tt.name, func(t *testing.T) {
			for how, arrive := range arrivals {
				check := func(policy string, normalize bool, want string, wantErr error, read func(io.Reader) ([]byte, error)) {
					in := bufio.NewReaderSize(arrive(strings.NewReader(tt.in)), 16)
					var r dotReader
					r.reset(in, roomy(normalize))
					got, err := read(&r)
					if wantErr != nil {
						if !errors.Is(err, wantErr) {
							t.Errorf("%s, %s: error %v, want %v", how, policy, err, wantErr)
						}
						if r.seenEnd {
							t.Errorf("%s, %s: the end was reported", how, policy)
						}
					} else if err != nil || string(got) != want {
						t.Errorf("%s, %s:\n got %q, %v\nwant %q", how, policy, got, err, want)
					} else if !r.seenEnd {
						t.Errorf("%s, %s: the end was not noted", how, policy)
					}
					r.drain()
					if rest, _ := io.ReadAll(in); string(rest) != tt.rest && r.broken == nil {
						t.Errorf("%s, %s: rest %q, want %q", how, policy, rest, tt.rest)
					}
				}
				truncated := tt.err
				if errors.Is(tt.err, ErrBareLine) && !strings.HasPrefix(tt.name, "truncated") {
					truncated = nil
				} else if tt.err != nil {
					truncated = io.ErrUnexpectedEOF
				}
				for _, read := range []func(io.Reader) ([]byte, error){io.ReadAll, readByWriteTo} {
					check("reject", false, tt.body, tt.err, read)
					check("normalize", true, tt.normalized, truncated, read)
				}
			}
		})
	}
}

func readByWriteTo(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	_, err := r.(io.WriterTo).WriteTo(&b)
	return b.Bytes(), err
}

// Every input of the table, cut into two reads at every octet, gives the same.
func TestDotReaderSplitsEverywhere(t *testing.T) {
	for _, tt := range dotTests {
		for cut := range len(tt.in) {
			in := bufio.NewReader(io.MultiReader(strings.NewReader(tt.in[:cut]), strings.NewReader(tt.in[cut:])))
			var r dotReader
			r.reset(in, roomy(false))
			got, err := io.ReadAll(&r)
			if !errors.Is(err, tt.err) || tt.err == nil && string(got) != tt.body {
				t.Errorf("%s, cut at %d: got %q, %v; want %q, %v", tt.name, cut, got, err, tt.body, tt.err)
			}
		}
	}
}

func TestDotReaderLimits(t *testing.T) {
	line := strings.Repeat("x", 98) + "\r\n"
	tests := []struct {
		name, in string
		limits   bodyLimits
		err      error
	}{
		{"message just fits", line + line + ".\r\n", bodyLimits{messageBytes: 200, lineBytes: 1000}, nil},
		{"message one octet over", line + line + ".\r\n", bodyLimits{messageBytes: 199, lineBytes: 1000}, ErrMessageTooLarge},
		{"dots taken out do not count", ".." + line[1:] + ".\r\n", bodyLimits{messageBytes: 100, lineBytes: 100}, nil},
		{"line just fits", line + ".\r\n", bodyLimits{messageBytes: 1000, lineBytes: 100}, nil},
		{"line one octet over", line + ".\r\n", bodyLimits{messageBytes: 1000, lineBytes: 99}, ErrLineTooLong},
		{"last line over, no end", strings.Repeat("x", 200), bodyLimits{messageBytes: 1000, lineBytes: 100}, ErrLineTooLong},
	}
	for _, tt := range tests {
		for how, arrive := range arrivals {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				var r dotReader
				in := bufio.NewReaderSize(arrive(strings.NewReader(tt.in+"NEXT")), 16)
				r.reset(in, tt.limits)
				got, err := io.ReadAll(&r)
				if !errors.Is(err, tt.err) || err == nil && tt.err != nil {
					t.Fatalf("error %v, want %v", err, tt.err)
				}
				if int64(len(got)) > tt.limits.messageBytes {
					t.Fatalf("%d octets were handed out", len(got))
				}
				if r.drain(); r.broken == nil {
					if rest, _ := io.ReadAll(in); string(rest) != "NEXT" {
						t.Fatalf("rest %q", rest)
					}
				}
				if _, err := r.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
					t.Fatalf("reading a closed body: %v", err)
				}
			})
		}
	}
}

func TestDotReaderPassesWriteErrorOn(t *testing.T) {
	var r dotReader
	r.reset(bufio.NewReader(strings.NewReader("abc\r\n.\r\n")), roomy(false))
	if _, err := r.WriteTo(failingWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("got %v", err)
	}
	if r.seenEnd {
		t.Fatal("the end was reported to a reader that failed")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// slowBody is the rule in its plainest form, octet by octet.
func slowBody(in string, normalize bool) (body string, bare, ended bool, rest string) {
	var b strings.Builder
	prev2, prev1 := byte('\r'), byte('\n')
	for i := 0; i < len(in); i++ {
		c := in[i]
		afterCRLF := prev2 == '\r' && prev1 == '\n'
		prev2, prev1 = prev1, c
		next := byte(0)
		if i+1 < len(in) {
			next = in[i+1]
		}
		switch {
		case afterCRLF && c == '.' && strings.HasPrefix(in[i:], ".\r\n"):
			return b.String(), bare, true, in[i+3:]
		case afterCRLF && c == '.':
		case c == '\r' && next == '\n':
			b.WriteString("\r\n")
			i++
			prev2, prev1 = '\r', '\n'
		case c == '\r' || c == '\n':
			bare = true
			// What follows is not at the start of a line.
			prev2, prev1 = 0, 0
			if normalize {
				b.WriteString("\r\n")
			} else {
				b.WriteByte(c)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), bare, false, ""
}

func FuzzDotReader(f *testing.F) {
	for _, tt := range dotTests {
		f.Add(tt.in, uint8(3), false)
		f.Add(tt.in, uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, in string, step uint8, normalize bool) {
		want, bare, ended, rest := slowBody(in, normalize)
		src := bufio.NewReaderSize(&steppedReader{s: in, step: int(step)%20 + 1}, 16)
		var r dotReader
		r.reset(src, roomy(normalize))
		got, err := io.ReadAll(&r)
		switch {
		case bare && !normalize:
			if !errors.Is(err, ErrBareLine) && (ended || !errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Fatalf("bare: error %v", err)
			}
		case !ended:
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("truncated: error %v", err)
			}
		case err != nil || string(got) != want:
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		r.drain()
		if ended != r.ended {
			t.Fatalf("ended %v, want %v", r.ended, ended)
		}
		if left, _ := io.ReadAll(src); ended && string(left) != rest {
			t.Fatalf("rest %q, want %q", left, rest)
		}
	})
}

type steppedReader struct {
	s    string
	step int
}

func (r *steppedReader) Read(p []byte) (int, error) {
	if r.s == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.s)
	r.s = r.s[n:]
	return n, nil
}

// What dotWriter sends, dotReader reads back, in slices of any size.
func FuzzDotWriter(f *testing.F) {
	for _, tt := range dotTests {
		f.Add(tt.body, uint8(1))
		f.Add(tt.in, uint8(7))
	}
	f.Fuzz(func(t *testing.T, body string, step uint8) {
		var wire bytes.Buffer
		out := bufio.NewWriterSize(&wire, 16)
		d := newDotWriter(out)
		_, err := io.CopyBuffer(&d, struct{ io.Reader }{&steppedReader{s: body, step: int(step)%20 + 1}}, make([]byte, 32))
		if err == nil {
			err = d.finish()
		}
		clean := strings.ReplaceAll(body, "\r\n", "")
		if bare := strings.ContainsAny(clean, "\r\n"); bare != errors.Is(err, ErrBareLine) {
			t.Fatalf("bare %v, error %v", bare, err)
		} else if bare {
			return
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		if body != "" && !strings.HasSuffix(body, "\r\n") {
			body += "\r\n"
		}
		var r dotReader
		in := bufio.NewReader(&wire)
		r.reset(in, roomy(false))
		got, err := io.ReadAll(&r)
		if err != nil || string(got) != body {
			t.Fatalf("got %q, %v; want %q", got, err, body)
		}
		if n := in.Buffered(); n != 0 {
			t.Fatalf("%d octets behind the final dot", n)
		}
	})
}
