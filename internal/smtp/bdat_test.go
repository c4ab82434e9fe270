package smtp_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mailpact/internal/smtp"
)

// say runs a session of a client that says all of said and hangs up, and returns
// the replies behind those to EHLO.
func say(t *testing.T, s smtp.Session, o smtp.ServerOptions, said string) (string, smtp.EndCause) {
	t.Helper()
	var out bytes.Buffer
	conn := &scriptedConn{in: strings.NewReader("EHLO x\r\n" + said), out: &out}
	cause := smtp.ServeSession(t.Context(), conn, s, o)
	replies := strings.Split(strings.TrimSuffix(out.String(), "\r\n"), "\r\n")[1:]
	for strings.HasPrefix(replies[0], "250-") {
		replies = replies[1:]
	}
	return strings.Join(replies[1:], "\n"), cause
}

const begun = "MAIL FROM:<a@b.c>\r\nRCPT TO:<b@b.c>\r\n"

// Where nobody knows how long a chunk is, nothing behind BDAT is read as commands.
func TestChunkSyntax(t *testing.T) {
	arguments := []string{
		"", " ", " x", " -1", " +1", " 1x", " 1 2", " 1 LAST 2", " 1 LASTING", " 1,LAST", " LAST", " 0x10",
		" 123456789012345678901", "\t1", " 1\tLAST", " 1\x00", "\x0b1", " 1" + strings.Repeat(" ", 2000) + "LAST",
		strings.Repeat(" ", 5000) + "1",
	}
	for _, a := range arguments {
		for _, before := range []string{"", begun, begun + "BDAT 1\r\nx"} {
			got, cause := say(t, &recorder{}, smtp.ServerOptions{MaxProtocolErrors: 1000}, before+"BDAT"+a+"\r\nNOOP\r\nNOOP\r\n")
			lines := strings.Split(got, "\n")
			if last := lines[len(lines)-1]; cause != smtp.EndLocal || !strings.HasPrefix(last, "501 5.5.4 Syntax: BDAT") && !strings.HasPrefix(last, "500 5.5.2 Line too long") {
				t.Errorf("BDAT%.30q behind %.20q: %v\n%s", a, before, cause, got)
			}
		}
	}
}

// Chunks of next to nothing are bounded; those with something in them are not.
func TestManyChunks(t *testing.T) {
	tests := []struct {
		name   string
		size   int
		chunks int
		end    smtp.EndCause
	}{
		{"empty", 0, 1000, smtp.EndLocal},
		{"small", 511, 1000, smtp.EndLocal},
		{"a usual number of small ones", 10, 240, smtp.EndRemote},
		{"large", 512, 10000, smtp.EndRemote},
	}
	for _, tt := range tests {
		chunk := fmt.Sprintf("BDAT %d\r\n%s", tt.size, strings.Repeat("x", tt.size))
		said := begun + strings.Repeat(chunk, tt.chunks) + "BDAT 0 LAST\r\n"
		got, cause := say(t, &recorder{}, smtp.ServerOptions{MaxLineBytes: 1 << 30}, said)
		if last := got[strings.LastIndexByte(got, '\n')+1:]; cause != tt.end || (cause == smtp.EndRemote) != strings.HasPrefix(last, "250 2.6.0") {
			t.Errorf("%s: %v, %s", tt.name, cause, last)
		}
	}
}

// A keyword that is withheld is neither shown nor taken.
func TestWithheldKeywords(t *testing.T) {
	tests := []struct {
		keyword string
		member  smtp.KeywordSet
		said    string
		offered string // reply when it is offered
		not     string
	}{
		{"SIZE", smtp.KeywordSIZE, "MAIL FROM:<a@b.c> SIZE=1\r\n", "250 2.1.0", "555 5.5.4"},
		{"8BITMIME", smtp.Keyword8BITMIME, "MAIL FROM:<a@b.c> BODY=8BITMIME\r\n", "250 2.1.0", "501 5.5.4"},
		{"BINARYMIME", smtp.KeywordBINARYMIME, "MAIL FROM:<a@b.c> BODY=BINARYMIME\r\n", "250 2.1.0", "501 5.5.4"},
		{"BINARYMIME", smtp.KeywordCHUNKING, "MAIL FROM:<a@b.c> BODY=BINARYMIME\r\n", "250 2.1.0", "501 5.5.4"},
		{"CHUNKING", smtp.KeywordCHUNKING, "BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1", "502 5.5.1"},
		{"PIPELINING", smtp.KeywordPIPELINING, "NOOP\r\n", "250 2.0.0", "250 2.0.0"},
		{"DSN", smtp.KeywordDSN, "MAIL FROM:<a@b.c> RET=FULL\r\n", "250 2.1.0", "555 5.5.4"},
		{"DSN", smtp.KeywordDSN, "MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c> NOTIFY=NEVER\r\n", "250 2.1.5", "555 5.5.4"},
		{"SMTPUTF8", smtp.KeywordSMTPUTF8, "MAIL FROM:<a@b.c> SMTPUTF8\r\n", "250 2.1.0", "555 5.5.4"},
		{"SMTPUTF8", smtp.Keyword8BITMIME, "MAIL FROM:<a@b.c> SMTPUTF8\r\n", "250 2.1.0", "555 5.5.4"},
		{"ENHANCEDSTATUSCODES", smtp.KeywordENHANCEDSTATUSCODES, "MAIL FROM:<a@b.c>\r\n", "250 2.1.0 a@b.c", "250 a@b.c"},
		{"ENHANCEDSTATUSCODES", smtp.KeywordENHANCEDSTATUSCODES, "XYZZY\r\n", "500 5.5.1 Unknown", "500 Unknown"},
	}
	for _, tt := range tests {
		for _, withheld := range []smtp.KeywordSet{0, tt.member} {
			s := &recorder{hello: smtp.HelloResponse{Withheld: withheld}}
			var out bytes.Buffer
			conn := &scriptedConn{in: strings.NewReader("EHLO x\r\n" + tt.said + "NOOP\r\n"), out: &out}
			smtp.ServeSession(t.Context(), conn, s, smtp.ServerOptions{})
			want := tt.offered
			if withheld != 0 {
				want = tt.not
			}
			shown := strings.Contains(out.String(), "250-"+tt.keyword) || strings.Contains(out.String(), "250 "+tt.keyword)
			if shown != (withheld == 0) {
				t.Errorf("%s without %b: %s", tt.keyword, withheld, out.String())
			}
			lines := strings.Split(out.String(), "\r\n")
			if got := lines[len(lines)-3]; !strings.HasPrefix(got, want) {
				t.Errorf("%s without %b: %q is answered %q", tt.keyword, withheld, tt.said, got)
			}
		}
	}
}
