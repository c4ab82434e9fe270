package message

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/message/corpustest"
)

// readAll reads a message and returns its header and body.
func readAll(t testing.TB, r io.Reader, limit int64) (*Header, string) {
	t.Helper()
	h, err := ReadHeader(r, limit)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(h.Body(r))
	if err != nil {
		t.Fatal(err)
	}
	return h, string(body)
}

func rawFields(h *Header) []string {
	var list []string
	for _, f := range h.Fields() {
		list = append(list, string(f.Raw()))
	}
	return list
}

func TestReadHeader(t *testing.T) {
	long := strings.Repeat("x", 3*firstHeaderBuffer)
	tests := []struct {
		name, in  string
		fields    []string
		separator string
		body      string
	}{
		{"ordinary", "A: 1\r\nB: 2\r\n\r\nbody\r\n", []string{"A: 1\r\n", "B: 2\r\n"}, "\r\n", "body\r\n"},
		{"nothing", "", nil, "", ""},
		{"no header", "\r\nbody\r\n", nil, "\r\n", "body\r\n"},
		{"no empty line", "A: 1\r\nB: 2\r\n", []string{"A: 1\r\n", "B: 2\r\n"}, "", ""},
		{"no end of the last line", "A: 1\r\nB: 2", []string{"A: 1\r\n", "B: 2"}, "", ""},
		{"ends within a fold", "A: 1\r\n 2", []string{"A: 1\r\n 2"}, "", ""},
		{"folded", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\n", []string{"A: 1\r\n 2\r\n\t3\r\n", "B: 4\r\n"}, "\r\n", ""},
		{"a line of white space goes on with the field", "A: 1\r\n  \r\n 2\r\n\r\n", []string{"A: 1\r\n  \r\n 2\r\n"}, "\r\n", ""},
		{"begins with a continuation", " x\r\nA: 1\r\n\r\n", []string{" x\r\n", "A: 1\r\n"}, "\r\n", ""},
		{"a line without colon is an element", "A: 1\r\nhello there\r\nB: 2\r\n\r\nbody", []string{"A: 1\r\n", "hello there\r\n", "B: 2\r\n"}, "\r\n", "body"},
		{"bare LF ends lines", "A: 1\nB: 2\n\nbody\n", []string{"A: 1\n", "B: 2\n"}, "\n", "body\n"},
		{"bare CR does not", "A: 1\rB: 2\r\n\r\n", []string{"A: 1\rB: 2\r\n"}, "\r\n", ""},
		{"CR CR LF is no empty line", "A: 1\r\n\r\r\nB: 2\r\n\r\n", []string{"A: 1\r\n", "\r\r\n", "B: 2\r\n"}, "\r\n", ""},
		{"NULs", "A\x00: 1\x00\r\n\x00\r\n\r\n\x00", []string{"A\x00: 1\x00\r\n", "\x00\r\n"}, "\r\n", "\x00"},
		{"long line", "A: " + long + "\r\n\r\nbody", []string{"A: " + long + "\r\n"}, "\r\n", "body"},
		{"many fields", strings.Repeat("A: 1\r\n", 200) + "\r\nbody", slicesRepeat("A: 1\r\n", 200), "\r\n", "body"},
		{"long body", "A: 1\r\n\r\n" + long, []string{"A: 1\r\n"}, "\r\n", long},
	}
	readers := []struct {
		name string
		wrap func(io.Reader) io.Reader
	}{
		{"at once", func(r io.Reader) io.Reader { return r }},
		{"octet by octet", iotest.OneByteReader},
		{"EOF with the data", iotest.DataErrReader},
		{"half", iotest.HalfReader},
	}
	for _, tt := range tests {
		for _, rd := range readers {
			t.Run(tt.name+", "+rd.name, func(t *testing.T) {
				h, body := readAll(t, rd.wrap(strings.NewReader(tt.in)), 0)
				if diff := cmp.Diff(tt.fields, rawFields(h)); diff != "" {
					t.Errorf("fields: %s", diff)
				}
				if string(h.separator) != tt.separator || body != tt.body {
					t.Errorf("separator %q, body of %d octets, want %q and %d", h.separator, len(body), tt.separator, len(tt.body))
				}
				checkOutputs(t, h, tt.in[:len(tt.in)-len(body)])
			})
		}
	}
}

func slicesRepeat(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// checkOutputs compares all ways to get the header section out again with want.
func checkOutputs(t testing.TB, h *Header, want string) {
	t.Helper()
	var b bytes.Buffer
	n, err := h.WriteTo(&b)
	if err != nil || b.String() != want || n != int64(len(want)) {
		t.Errorf("WriteTo wrote %q, %d, %v, want %q", b.String(), n, err, want)
	}
	if got := string(h.AppendTo([]byte("x"))); got != "x"+want {
		t.Errorf("AppendTo gave %q, want %q", got, "x"+want)
	}
	if h.Size() != int64(len(want)) {
		t.Errorf("Size() = %d, want %d", h.Size(), len(want))
	}
}

func TestHeaderLimit(t *testing.T) {
	exact := "A: 1234\r\n\r\n" // 11 octets
	tests := []struct {
		name  string
		in    string
		limit int64
		want  error
	}{
		{"exactly", exact + "body", 11, nil},
		{"one over", exact + "body", 10, ErrHeaderTooLarge},
		{"without empty line, exactly", "A: 1234\r\n", 9, nil},
		{"without empty line, one over", "A: 1234\r\n", 8, ErrHeaderTooLarge},
		{"without end", strings.Repeat("x", 100), 99, ErrHeaderTooLarge},
		{"default, exactly", "A: " + strings.Repeat("x", DefaultHeaderLimit-7) + "\r\n\r\nbody", 0, nil},
		{"default, one over", "A: " + strings.Repeat("x", DefaultHeaderLimit-6) + "\r\n\r\nbody", 0, ErrHeaderTooLarge},
		{"unlimited", "A: " + strings.Repeat("x", 2*DefaultHeaderLimit) + "\r\n\r\n", math.MaxInt64, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.HalfReader(strings.NewReader(tt.in))} {
				if _, err := ReadHeader(r, tt.limit); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			}
		})
	}
}

var errWire = errors.New("bare line end")

// failAfter gives its octets and then an error, together with the last ones if joined.
type failAfter struct {
	rest   string
	joined bool
}

func (f *failAfter) Read(p []byte) (int, error) {
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	if f.rest == "" && (n == 0 || f.joined) {
		return n, errWire
	}
	return n, nil
}

func TestErrorsOfTheReader(t *testing.T) {
	for _, joined := range []bool{false, true} {
		if _, err := ReadHeader(&failAfter{"A: 1\r\nB", joined}, 0); !errors.Is(err, errWire) {
			t.Errorf("in the header: error %v", err)
		}
		r := &failAfter{"A: 1\r\n\r\nbody", joined}
		h, err := ReadHeader(r, 0)
		if err != nil {
			t.Fatalf("in the body: error %v of ReadHeader", err)
		}
		body, err := io.ReadAll(h.Body(r))
		if string(body) != "body" || !errors.Is(err, errWire) {
			t.Errorf("in the body: %q, %v", body, err)
		}
	}
	if _, err := ReadHeader(stuck{}, 0); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: error %v", err)
	}
	if _, err := readHeaderString("A: 1\r\n\r\n").WriteTo(failingWriter{}); !errors.Is(err, errWire) {
		t.Errorf("a writer that fails: error %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errWire }

func readHeaderString(s string) *Header {
	h, err := ReadHeader(strings.NewReader(s), math.MaxInt64)
	if err != nil {
		panic(err)
	}
	return h
}

func TestExtraction(t *testing.T) {
	tests := []struct {
		name, header, id, subject string
		received                  int
	}{
		{"ordinary", "Received: a\r\nreceived : b\r\nReceived-SPF: c\r\nMessage-ID: <1@a.example>\r\nSubject: Hello\r\n", "<1@a.example>", "Hello", 2},
		{"nothing", "A: 1\r\n", "", "", 0},
		{"folded", "Message-Id:\r\n <1@a.example>\r\nSubject: Hello\r\n there\r\n\t!\r\n", "<1@a.example>", "Hello there !", 0},
		{"the first counts", "Subject: 1\r\nSubject: 2\r\nMessage-ID: a\r\nMessage-ID: b\r\n", "a", "1", 0},
		{"encoded words stay", "Subject: =?utf-8?q?caf=C3=A9?=\r\n", "", "=?utf-8?q?caf=C3=A9?=", 0},
		{"control characters and no UTF-8", "Subject: a\x00b\x1b[1mc\xff\u0085d\r\n", "", "a b [1mc? d", 0},
		{"cut", "Subject: " + strings.Repeat("x", 300) + "\r\nMessage-ID: <" + strings.Repeat("y", 300) + ">\r\n", "<" + strings.Repeat("y", 254), strings.Repeat("x", 255), 0},
		{"cut between characters", "Subject: " + strings.Repeat("é", 200) + "\r\n", "", strings.Repeat("é", 127), 0},
		{"no end of the header", "Subject: a", "", "a", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := readHeaderString(tt.header)
			if h.InternetMessageID() != tt.id || h.Subject() != tt.subject || h.ReceivedCount() != tt.received {
				t.Errorf("got %q, %q, %d, want %q, %q, %d", h.InternetMessageID(), h.Subject(), h.ReceivedCount(), tt.id, tt.subject, tt.received)
			}
		})
	}
}

// TestCorpus sends every message of the corpus through header and firewall: the
// rest comes out as it went in.
func TestCorpus(t *testing.T) {
	// The only messages of the corpus that carry what the firewall removes.
	removed := map[string][]string{
		"ruby-mail/error_emails__header_fields_with_empty_values.eml": {
			"X-MS-Exchange-Organization-AuthAs", "X-MS-Exchange-Organization-AuthSource",
		},
	}
	for _, m := range corpustest.Load(t) {
		t.Run(m.Name, func(t *testing.T) {
			for _, in := range [][]byte{m.Data, m.Wire()} {
				h, body := readAll(t, bytes.NewReader(in), 0)
				gone := h.Remove(Firewall{AuthservID: "contoso.com"})
				if diff := cmp.Diff(removed[m.Name], gone); diff != "" {
					t.Errorf("removed: %s", diff)
				}
				if out := string(h.AppendTo(nil)) + body; gone == nil && out != string(in) {
					t.Errorf("changed: %s", cmp.Diff(string(in), out))
				}
				out, err := io.ReadAll(NewOutboundFilter(bytes.NewReader(in), Firewall{AuthservID: "contoso.com"}, 0))
				if err != nil || string(out) != string(h.AppendTo(nil))+body {
					t.Errorf("the outbound filter made something else of it, %v", err)
				}
				f := h.From()
				if m.Has("no-from") != (f.Fields == 0) {
					t.Errorf("%d From fields, the list says no-from: %v", f.Fields, m.Has("no-from"))
				}
			}
		})
	}
}
