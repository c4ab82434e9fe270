package smtp

import (
	"bufio"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loopReplies are all replies of replies.go; TestLoopRepliesAreListed holds it to that.
var loopReplies = map[string]Reply{
	"replyGreeting": replyGreeting, "replyReset": replyReset, "replyNoop": replyNoop, "replyVerify": replyVerify,
	"replyQuit": replyQuit, "replyStartTLS": replyStartTLS, "replyStartMail": replyStartMail,
	"replyMailAccepted": replyMailAccepted, "replyRcptAccepted": replyRcptAccepted, "replyDataAccepted": replyDataAccepted,
	"replyShutdown": replyShutdown, "replyTimeout": replyTimeout, "replyTooManyErrors": replyTooManyErrors,
	"replyInternal": replyInternal, "replyUnknownCommand": replyUnknownCommand, "replyLineTooLong": replyLineTooLong,
	"replyBareLine": replyBareLine, "replyControlCharacter": replyControlCharacter, "replyNotImplemented": replyNotImplemented,
	"replyNoArgument": replyNoArgument, "replyArgument": replyArgument, "replyHelloName": replyHelloName,
	"replyHelloFirst": replyHelloFirst, "replyEHLOFirst": replyEHLOFirst, "replyAlreadyTLS": replyAlreadyTLS,
	"replyTLSUnavailable": replyTLSUnavailable, "replyAfterStartTLS": replyAfterStartTLS, "replyMailSyntax": replyMailSyntax,
	"replyNestedMail": replyNestedMail, "replyMailFirst": replyMailFirst, "replyRcptSyntax": replyRcptSyntax,
	"replyTooManyRcpts": replyTooManyRcpts, "replyUnknownParameter": replyUnknownParameter,
	"replyParameterSyntax": replyParameterSyntax, "replyParameterTwice": replyParameterTwice,
	"replySizeExceeded": replySizeExceeded, "replyRcptFirst": replyRcptFirst, "replyNoRecipients": replyNoRecipients,
	"replyChunkSyntax": replyChunkSyntax, "replyChunked": replyChunked, "replyBinaryData": replyBinaryData,
	"replyBareBody": replyBareBody, "replyBodyLineLong": replyBodyLineLong, "replyBodyTooLarge": replyBodyTooLarge,
	"replyAuthenticated": replyAuthenticated, "replyAuthNeedsTLS": replyAuthNeedsTLS, "replyAuthTwice": replyAuthTwice,
	"replyAuthInMail": replyAuthInMail, "replyAuthMechanism": replyAuthMechanism, "replyAuthSyntax": replyAuthSyntax,
	"replyAuthCancelled": replyAuthCancelled, "replyAuthLineTooLong": replyAuthLineTooLong,
}

func TestLoopReplies(t *testing.T) {
	without := map[string]bool{"replyGreeting": true, "replyStartMail": true} // RFC 2034, section 4
	for name, r := range loopReplies {
		if int(r.Enhanced[0]) != r.Code/100 && !without[name] {
			t.Errorf("%s: %s: code and enhanced code differ in class", name, r)
		}
		if without[name] != (r.Enhanced == EnhancedCode{}) {
			t.Errorf("%s: %s", name, r)
		}
		if r.Code == 421 && !r.CloseAfter {
			t.Errorf("%s: a 421 that does not close", name)
		}
		wire := appendReply(nil, &r)
		again, err := readReply(bufio.NewReader(strings.NewReader(string(wire))), false, nil)
		again.CloseAfter = r.CloseAfter
		if diff := cmp.Diff(r, again); err != nil || diff != "" {
			t.Errorf("%s: round trip: %v\n%s", name, err, diff)
		}
	}
}

func TestLoopRepliesAreListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "replies.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if ok {
			found++
			if _, listed := loopReplies[v.Names[0].Name]; !listed {
				t.Errorf("%s is not in loopReplies", v.Names[0].Name)
			}
		}
		return true
	})
	if found != len(loopReplies) {
		t.Errorf("replies.go has %d replies, the test %d", found, len(loopReplies))
	}
}

func TestAppendReply(t *testing.T) {
	tests := []struct {
		name string
		r    Reply
		want string
	}{
		{"one line", NewReply(250, EnhancedCode{2, 1, 0}, "OK"), "250 2.1.0 OK\r\n"},
		{"without enhanced code", NewReply(354, EnhancedCode{}, "go"), "354 go\r\n"},
		{"several", NewReply(550, EnhancedCode{5, 7, 1}, "one", "two"), "550-5.7.1 one\r\n550 5.7.1 two\r\n"},
		{"no text", NewReply(250, EnhancedCode{}), "250 \r\n"},
		{"no lines", Reply{Code: 250}, "250 \r\n"},
		{"three digits", NewReply(450, EnhancedCode{4, 4, 317}, "x"), "450 4.4.317 x\r\n"},
		{"line end in the text", NewReply(454, EnhancedCode{4, 7, 5}, "a\r\n250 fine"), "454 4.7.5 a\\x0D\\x0A250 fine\r\n"},
		{"controls and 8 bit", NewReply(454, EnhancedCode{}, "\x00\x1b\x7fé"), "454 \\x00\\x1B\\x7F\\xC3\\xA9\r\n"},
		{"long", NewReply(550, EnhancedCode{5, 0, 0}, strings.Repeat("x", 600)), "550 5.0.0 " + strings.Repeat("x", 500) + "\r\n"},
		{"long, escaped", NewReply(550, EnhancedCode{5, 0, 0}, strings.Repeat("x", 498)+"\x00"), "550 5.0.0 " + strings.Repeat("x", 498) + "\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(appendReply(nil, &tt.r)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewReplyRefusesNonsense(t *testing.T) {
	for name, f := range map[string]func(){
		"class":    func() { NewReply(454, EnhancedCode{5, 7, 5}, "x") },
		"too low":  func() { NewReply(99, EnhancedCode{}, "x") },
		"too high": func() { NewReply(600, EnhancedCode{}, "x") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestReplyStringAndKinds(t *testing.T) {
	r := NewReply(450, EnhancedCode{4, 2, 0}, "one", "two")
	if got := r.Error(); got != "450 4.2.0 one two" {
		t.Errorf("got %q", got)
	}
	if !r.Temporary() || r.Permanent() || r.Positive() || r.IsZero() || !r.Closing().CloseAfter || r.CloseAfter {
		t.Errorf("%+v", r)
	}
	if (Reply{}).Positive() || !(Reply{}).IsZero() {
		t.Error("the zero Reply is no decision")
	}
}

func TestReadReply(t *testing.T) {
	tests := []struct {
		name, in string
		want     Reply
		err      error
	}{
		{"plain", "250 OK\r\n", Reply{Code: 250, Lines: []string{"OK"}}, nil},
		{"code alone", "250\r\n", Reply{Code: 250, Lines: []string{""}}, nil},
		{"enhanced", "250 2.1.0 OK\r\n", Reply{Code: 250, Enhanced: EnhancedCode{2, 1, 0}, Lines: []string{"OK"}}, nil},
		{"enhanced alone", "250 2.1.0\r\n", Reply{Code: 250, Enhanced: EnhancedCode{2, 1, 0}, Lines: []string{""}}, nil},
		{"enhanced on each line", "550-5.7.1 a\r\n550 5.7.1 b\r\n", Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Lines: []string{"a", "b"}}, nil},
		{"enhanced on the first line", "550-5.7.1 a\r\n550 b\r\n", Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Lines: []string{"a", "b"}}, nil},
		{"another on the second line", "550-5.7.1 a\r\n550 5.7.2 b\r\n", Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Lines: []string{"a", "5.7.2 b"}}, nil},
		{"class differs", "451 5.7.3 STARTTLS is required\r\n", Reply{Code: 451, Lines: []string{"5.7.3 STARTTLS is required"}}, nil},
		{"no code, a version", "250 2.1 beta\r\n", Reply{Code: 250, Lines: []string{"2.1 beta"}}, nil},
		{"no code, an address", "250 2.1.0.4 it is\r\n", Reply{Code: 250, Lines: []string{"2.1.0.4 it is"}}, nil},
		{"no code, too many digits", "250 2.1.1000 x\r\n", Reply{Code: 250, Lines: []string{"2.1.1000 x"}}, nil},
		{"hyphen in the text", "250 -x\r\n", Reply{Code: 250, Lines: []string{"-x"}}, nil},

		{"nothing", "", Reply{}, io.EOF},
		{"cut off", "250 O", Reply{}, io.ErrUnexpectedEOF},
		{"last line missing", "250-OK\r\n", Reply{}, io.ErrUnexpectedEOF},
		{"bare LF", "250 OK\n", Reply{}, ErrMalformedReply},
		{"bare CR", "250 O\rK\r\n", Reply{}, ErrMalformedReply},
		{"LF alone", "\n", Reply{}, ErrMalformedReply},
		{"empty line", "\r\n", Reply{}, ErrMalformedReply},
		{"short", "25\r\n", Reply{}, ErrMalformedReply},
		{"class 1", "150 OK\r\n", Reply{}, ErrMalformedReply},
		{"class 6", "650 OK\r\n", Reply{}, ErrMalformedReply},
		{"no digit", "2x0 OK\r\n", Reply{}, ErrMalformedReply},
		{"four digits", "2500 OK\r\n", Reply{}, ErrMalformedReply},
		{"codes differ", "250-a\r\n251 b\r\n", Reply{}, ErrMalformedReply},
		{"longest line", "250 " + strings.Repeat("x", 2042) + "\r\n", Reply{Code: 250, Lines: []string{strings.Repeat("x", 2042)}}, nil},
		{"line too long", "250 " + strings.Repeat("x", 2043) + "\r\n", Reply{}, ErrMalformedReply},
		{"too many lines", strings.Repeat("250-x\r\n", 100) + "250 x\r\n", Reply{}, ErrMalformedReply},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReaderSize(strings.NewReader(tt.in), replyBufferBytes), false, nil)
			if !errors.Is(err, tt.err) || err != nil && tt.err == nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What is accepted is printable, and written by us it reads the same.
func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 OK\r\n", "550-5.7.1 a\r\n550 5.7.1 b\r\n", "354\r\n", "250 2.1.0\r\n", "250-\x00\xff\r\n250 \r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(s), replyBufferBytes), false, nil)
		brief, briefErr := readReply(bufio.NewReaderSize(strings.NewReader(s), replyBufferBytes), true, nil)
		if (err == nil) != (briefErr == nil) || brief.Code != r.Code || brief.Enhanced != r.Enhanced {
			t.Fatalf("brief gives %v, %v; full %v, %v", brief, briefErr, r, err)
		}
		if err != nil {
			return
		}
		for _, line := range r.Lines {
			for _, c := range []byte(line) {
				if c < ' ' || c > '~' {
					t.Fatalf("%q", line)
				}
			}
			if len(line) > 400 {
				return // would be cut
			}
		}
		again, err := readReply(bufio.NewReaderSize(strings.NewReader(string(appendReply(nil, &r))), replyBufferBytes), false, nil)
		if err != nil || again.Code != r.Code || len(again.Lines) != len(r.Lines) {
			t.Fatalf("%q gives %v, which gives %v, %v", s, r, again, err)
		}
	})
}
