package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
)

// TestDialogue plays testdata/dialogue/*.smtp, byte for byte; README.md there
// says what the lines mean.
func TestDialogue(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogue/*.smtp")
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing to play: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".smtp"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			playDialog(t, string(text))
		})
	}
}

var causes = map[string]smtp.EndCause{
	"quit": smtp.EndQuit, "remote": smtp.EndRemote, "local": smtp.EndLocal,
	"timeout": smtp.EndTimeout, "tls": smtp.EndTLS, "internal": smtp.EndInternal,
}

type dialog struct {
	t         *testing.T
	session   *recorder
	options   smtp.ServerOptions
	conn      net.Conn
	in        *bufio.Reader
	out       strings.Builder // of consecutive C lines
	cause     chan smtp.EndCause
	wantCause string
	messages  []message
	errors    []string
	wantError []string
}

func playDialog(t *testing.T, text string) {
	d := &dialog{t: t, session: &recorder{}, cause: make(chan smtp.EndCause, 1)}
	d.options = smtp.ServerOptions{SessionID: "0123456789ABCDEF"}
	d.options.OnError = func(err error) { d.errors = append(d.errors, err.Error()) }
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := d.line(line); err != nil {
			t.Fatalf("line %d: %s\n%v", n+1, line, err)
		}
	}
	if d.wantCause == "" {
		t.Fatal("the dialog has no END")
	}
	if diff := cmp.Diff(d.messages, d.session.messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(d.wantError, d.errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func (d *dialog) line(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "@":
		return d.option(rest)
	case "C:", "C!":
		if d.conn == nil {
			return errors.New("the server speaks first")
		}
		octets, err := unescape(rest)
		if err != nil {
			return err
		}
		d.out.WriteString(octets)
		if kind == "C:" {
			d.out.WriteString("\r\n")
		}
		return nil
	case "S:":
		return d.expect(rest + "\r\n")
	case "M:":
		fields := strings.Split(rest, "|")
		body, err := unescape(fields[2])
		d.messages = append(d.messages, message{From: fields[0], To: strings.Split(fields[1], ","), Body: body})
		return err
	case "E:":
		d.wantError = append(d.wantError, rest)
		return nil
	case "END", "HANGUP":
		return d.end(kind, rest)
	}
	return errors.New("a line of no known kind")
}

func (d *dialog) option(text string) error {
	name, value, _ := strings.Cut(text, " ")
	n, _ := strconv.Atoi(value)
	switch name {
	case "size":
		d.options.MaxMessageBytes = int64(n)
		d.session.hello.MaxMessageBytes = int64(n)
	case "recipients":
		d.options.MaxRecipients = n
	case "errors":
		d.options.MaxProtocolErrors = n
	case "line":
		d.options.MaxLineBytes = n
	case "normalize":
		d.options.BareLines = smtp.BareLinesNormalize
	case "starttls":
		d.session.tls = serverTLS(d.t)
	case "greeting":
		d.session.greeting = mustReply(value)
	case "mail":
		d.session.mailErr = mustReply(value)
	case "mail-error":
		d.session.mailErr = errors.New(value)
	case "rcpt":
		d.session.rcptErr = mustReply(value)
	case "data":
		d.session.dataErr = fmt.Errorf("wrapped: %w", mustReply(value))
	case "data-error":
		d.session.dataErr = errors.New(value)
	case "data-unread":
		d.session.onData = func(context.Context, io.Reader) (smtp.Reply, error) { return smtp.Reply{}, nil }
	case "data-deaf": // reads, and accepts whatever it was told
		d.session.onData = func(_ context.Context, body io.Reader) (smtp.Reply, error) {
			_, _ = io.Copy(io.Discard, body)
			return smtp.NewReply(250, smtp.EnhancedCode{2, 0, 0}, "fine"), nil
		}
	case "panic":
		d.session.onMail = func(smtp.ReversePath) (smtp.Reply, error) { panic(value) }
		d.options.OnError = func(err error) {
			var p *smtp.PanicError
			if !errors.As(err, &p) || !strings.Contains(string(p.Stack), "ServeSession") {
				d.t.Errorf("no panic with its stack: %v", err)
			}
			d.errors = append(d.errors, fmt.Sprint(p.Value))
		}
	default:
		return errors.New("no such option")
	}
	return nil
}

// mustReply makes a Reply of "454 4.7.5 text".
func mustReply(s string) smtp.Reply {
	var code int
	var e smtp.EnhancedCode
	var text string
	if _, err := fmt.Sscanf(s, "%d %d.%d.%d", &code, &e[0], &e[1], &e[2]); err != nil {
		panic(err)
	}
	text = strings.SplitN(s, " ", 3)[2]
	return smtp.NewReply(code, e, strings.Split(text, "/")...)
}

func (d *dialog) start() {
	var server net.Conn
	d.conn, server = net.Pipe()
	d.in = bufio.NewReader(d.conn)
	d.t.Cleanup(func() { d.conn.Close() })
	ctx := d.t.Context()
	go func() { d.cause <- smtp.ServeSession(ctx, server, d.session, d.options) }()
}

// flush sends what the client has said since the server last spoke, in one write.
func (d *dialog) flush() error {
	if d.out.Len() == 0 {
		return nil
	}
	octets := d.out.String()
	d.out.Reset()
	d.deadline()
	_, err := io.WriteString(d.conn, octets)
	return err
}

func (d *dialog) expect(want string) error {
	if d.conn == nil {
		d.start()
	}
	if err := d.flush(); err != nil {
		return err
	}
	d.deadline()
	got, err := d.in.ReadString('\n')
	if got != want {
		if err == nil {
			err = errors.New("no error")
		}
		return fmt.Errorf("got  %q\nwant %q (%w)", got, want, err)
	}
	return nil
}

// deadline has no error of its own: a pipe whose other end is closed takes no
// deadline, although what it said last may still be read.
func (d *dialog) deadline() { _ = d.conn.SetDeadline(time.Now().Add(10 * time.Second)) }

func (d *dialog) end(kind, cause string) error {
	d.wantCause = cause
	if err := d.flush(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	if kind == "HANGUP" {
		d.conn.Close()
	} else if rest, err := io.ReadAll(d.in); err != nil || len(rest) > 0 {
		return errors.Join(fmt.Errorf("more from the server: %q", rest), err)
	}
	got := <-d.cause
	if want, ok := causes[cause]; !ok || got != want || d.session.cause != got {
		return fmt.Errorf("cause %v (the session was told %v)", got, d.session.cause)
	}
	return nil
}

// unescape reads Go's escapes and {n*x}, which repeats x.
func unescape(s string) (string, error) {
	if before, rest, ok := strings.Cut(s, "{"); ok {
		inner, after, _ := strings.Cut(rest, "}")
		count, what, ok := strings.Cut(inner, "*")
		n, err := strconv.Atoi(count)
		if ok && err == nil {
			s = before + strings.Repeat(what, n) + after
		}
	}
	return strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
}
