package smtp

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// chunked is a message cut into chunks, as a chunkReader is told of them.
type chunked struct {
	chunks []string
	at     int
}

func (c *chunked) wire() string { return strings.Join(c.chunks, "") }

func (c *chunked) next() (chunk, error) {
	if c.at == len(c.chunks) {
		return chunk{}, errAbandoned
	}
	c.at++
	return chunk{size: int64(len(c.chunks[c.at-1])), last: c.at == len(c.chunks)}, nil
}

// readChunks reads chunks that arrive in a way of arrivals, and returns the
// body, what is left in the connection, and the error.
func readChunks(t interface{ Fatal(...any) }, chunks []string, limits bodyLimits, arrive func(io.Reader) io.Reader, behind string) (body, rest string, err error) {
	c := &chunked{chunks: chunks}
	first, _ := c.next()
	in := bufio.NewReaderSize(arrive(strings.NewReader(c.wire()+behind)), 16)
	var r chunkReader
	r.reset(in, limits, first, c.next)
	data, err := io.ReadAll(&r)
	r.drain()
	if r.broken != nil {
		t.Fatal("the connection broke:", r.broken)
	}
	for c.at < len(c.chunks) { // as bdat does with what is sent behind a refusal
		unread, _ := c.next()
		if err := discard(in, unread.size); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := io.ReadAll(in)
	return string(data), string(after), err
}

func TestChunkReader(t *testing.T) {
	tests := []struct {
		name       string
		chunks     []string
		body       string // under reject, when err is nil
		err        error  // under reject
		normalized string
		binary     string // with BODY=BINARYMIME, when binaryErr is nil
		binaryErr  error
	}{
		{name: "empty", chunks: []string{""}},
		{name: "empty chunks", chunks: []string{"", "", ""}},
		{name: "one", chunks: []string{"a\r\n"}, body: "a\r\n", normalized: "a\r\n", binary: "a\r\n"},
		{name: "without end", chunks: []string{"a"}, body: "a", normalized: "a", binary: "a"},
		{name: "dots stay", chunks: []string{".\r\n..\r\n", ".\r\n"}, body: ".\r\n..\r\n.\r\n", normalized: ".\r\n..\r\n.\r\n", binary: ".\r\n..\r\n.\r\n"},
		{name: "CRLF cut in two", chunks: []string{"a\r", "\nb\r", "", "\n"}, body: "a\r\nb\r\n", normalized: "a\r\nb\r\n", binary: "a\r\nb\r\n"},
		{name: "commands", chunks: []string{"QUIT\r\n", "RSET\r\n"}, body: "QUIT\r\nRSET\r\n", normalized: "QUIT\r\nRSET\r\n", binary: "QUIT\r\nRSET\r\n"},
		{name: "NUL and 8 bit", chunks: []string{"\x00\xff\r\n"}, body: "\x00\xff\r\n", normalized: "\x00\xff\r\n", binary: "\x00\xff\r\n"},
		{name: "bare LF", chunks: []string{"a\nb\r\n"}, err: ErrBareLine, normalized: "a\r\nb\r\n", binaryErr: ErrBareLine},
		{name: "bare CR", chunks: []string{"a\rb\r\n"}, err: ErrBareLine, normalized: "a\r\nb\r\n", binaryErr: ErrBareLine},
		{name: "bare CR at the end of a chunk", chunks: []string{"a\r", "b\r\n"}, err: ErrBareLine, normalized: "a\r\nb\r\n", binaryErr: ErrBareLine},
		{name: "bare CR at the end", chunks: []string{"a\r"}, err: ErrBareLine, normalized: "a\r\n", binaryErr: ErrBareLine},
		{name: "bare LF first", chunks: []string{"\n"}, err: ErrBareLine, normalized: "\r\n", binaryErr: ErrBareLine},
		{name: "CRCRLF", chunks: []string{"a\r\r\n"}, err: ErrBareLine, normalized: "a\r\n\r\n", binaryErr: ErrBareLine},
		{name: "CRCR cut", chunks: []string{"a\r", "\r\n"}, err: ErrBareLine, normalized: "a\r\n\r\n", binaryErr: ErrBareLine},
		{name: "everything bare", chunks: []string{"a\nb\rc\r\nd\r", "\ne\n.\r\n.\n\r"}, err: ErrBareLine, normalized: "a\r\nb\r\nc\r\nd\r\ne\r\n.\r\n.\r\n\r\n", binaryErr: ErrBareLine},
		{
			name: "bare in the body", chunks: []string{"H: x\r\n\r\n\n\r", "a\rb\n"},
			err: ErrBareLine, normalized: "H: x\r\n\r\n\r\n\r\na\r\nb\r\n", binary: "H: x\r\n\r\n\n\ra\rb\n",
		},
		{
			name: "the header ends between chunks", chunks: []string{"H: x\r\n\r", "\n\r"},
			err: ErrBareLine, normalized: "H: x\r\n\r\n\r\n", binary: "H: x\r\n\r\n\r",
		},
		{name: "no header", chunks: []string{"\r\n\n\n"}, err: ErrBareLine, normalized: "\r\n\r\n\r\n", binary: "\r\n\n\n"},
		{name: "folded CR in the header", chunks: []string{"H: x\r y\r\n\r\n"}, err: ErrBareLine, normalized: "H: x\r\n y\r\n\r\n", binaryErr: ErrBareLine},
	}
	for _, tt := range tests {
		for way, arrive := range arrivals {
			check := func(mode string, limits bodyLimits, want string, wantErr error) {
				t.Run(tt.name+"/"+way+"/"+mode, func(t *testing.T) {
					got, rest, err := readChunks(t, tt.chunks, limits, arrive, "NEXT\r\n")
					if !errors.Is(err, wantErr) || err == nil && got != want || rest != "NEXT\r\n" {
						t.Errorf("got %q, %v, then %q", got, err, rest)
					}
				})
			}
			check("reject", roomy(false), tt.body, tt.err)
			check("normalize", roomy(true), tt.normalized, nil)
			binary := roomy(false)
			binary.binary = true
			check("binary", binary, tt.binary, tt.binaryErr)
		}
	}
}

func TestChunkReaderLimits(t *testing.T) {
	tests := []struct {
		name   string
		chunks []string
		limits bodyLimits
		err    error
	}{
		{"a message of the limit", []string{"1234", "5678"}, bodyLimits{messageBytes: 8, lineBytes: 100}, nil},
		{"a chunk too much", []string{"1234", "56789"}, bodyLimits{messageBytes: 8, lineBytes: 100}, ErrMessageTooLarge},
		{"too large by normalising", []string{"1\n\n", "\n"}, bodyLimits{messageBytes: 6, lineBytes: 100, normalize: true}, ErrMessageTooLarge},
		{"a line of the limit", []string{"123", "\r\n123\r\n"}, bodyLimits{messageBytes: 100, lineBytes: 5}, nil},
		{"a line too long", []string{"12", "34\r\n"}, bodyLimits{messageBytes: 100, lineBytes: 5}, ErrLineTooLong},
		{"no line in a binary body", []string{"\r\n1234", "56789"}, bodyLimits{messageBytes: 100, lineBytes: 5, binary: true}, nil},
		{"a line too long in a binary header", []string{"1234", "56789\r\n\r\n"}, bodyLimits{messageBytes: 100, lineBytes: 5, binary: true}, ErrLineTooLong},
	}
	for _, tt := range tests {
		if _, _, err := readChunks(t, tt.chunks, tt.limits, arrivals["at once"], ""); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A chunk larger than anything is refused without being waited for, and no sum
// of sizes overflows.
func TestHugeChunk(t *testing.T) {
	var r chunkReader
	in := bufio.NewReader(strings.NewReader("x"))
	r.reset(in, bodyLimits{messageBytes: 1<<63 - 1, lineBytes: 10}, chunk{size: 1}, func() (chunk, error) { return chunk{size: 1<<63 - 1}, nil })
	if _, err := io.ReadAll(&r); !errors.Is(err, ErrMessageTooLarge) {
		t.Error(err)
	}
	r.drain()
	if r.broken == nil {
		t.Error("the chunk has come")
	}
}

// However text is cut into chunks, it is read as if it had come in one.
func TestChunksAreSeamless(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`([ab.]|\r\n|\r|\n){0,40}`).Draw(rt, "text")
		var chunks []string
		for rest := text; ; {
			n := rapid.IntRange(0, len(rest)).Draw(rt, "size")
			chunks, rest = append(chunks, rest[:n]), rest[n:]
			if rest == "" {
				break
			}
		}
		limits := bodyLimits{
			messageBytes: 1000, lineBytes: rapid.IntRange(2, 30).Draw(rt, "line"),
			normalize: rapid.Bool().Draw(rt, "normalize"), binary: rapid.Bool().Draw(rt, "binary"),
		}
		want, _, wantErr := readChunks(rt, []string{text}, limits, arrivals["at once"], "NEXT")
		got, rest, err := readChunks(rt, chunks, limits, arrivals["by octet"], "NEXT")
		if !errors.Is(err, wantErr) || wantErr == nil && got != want || rest != "NEXT" {
			rt.Fatalf("in one: %q, %v\nin %q: %q, %v, then %q", want, wantErr, chunks, got, err, rest)
		}
	})
}
