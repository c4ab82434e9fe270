package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bound is how long a test's lab may take.
const bound = 90 * time.Second

// played runs scenes and returns what was written. Nothing may be left on disk.
func played(t *testing.T, o Options, scenes []scene) (string, error) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var out bytes.Buffer
	o.Out = &out
	err := play(ctx, o, scenes)
	left, readErr := os.ReadDir(tmp)
	if readErr != nil || len(left) > 0 {
		t.Errorf("the lab leaves %v, %v", left, readErr)
	}
	return out.String(), err
}

// TestLab plays all that `mailpact lab --once` shows.
func TestLab(t *testing.T) {
	scenes := allScenes()
	out, err := played(t, Options{Once: true}, scenes)
	if err != nil {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(out, "       as expected: "); n != len(scenes) {
		t.Errorf("%d of %d scenes ended as expected", n, len(scenes))
	}
	for _, want := range []string{
		"Reason:EmptyCertificate", "Reason:UntrustedRoot", "Reason:SubjectMismatch", "Reason:Revoked", "Reason:RevocationOffline",
		"have exchanged partner bundles", "451 4.7.3", "5.7.1", "Mailpact-Domain-Secured: domain=woodgrovebank.com;", "Mailpact-Domain-Secured: domain=contoso.com;",
		"Mailpact-Domain-Secured: domain=fabrikam.com;", "x-domain-secured=pass policy.domain=woodgrovebank.com",
		"contoso.com        2 domain-secured received, 1 sent, 0 outbound session failures, 7 refusals",
		"woodgrovebank.com  1 domain-secured received, 1 sent, 0 outbound session failures, 0 refusals",
		"outcomes were the expected ones",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q", want)
		}
	}
	for _, not := range []string{"\x1b", "NOT AS EXPECTED", "stay up"} {
		if strings.Contains(out, not) {
			t.Errorf("it shows %q", not)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestColorOnlyRepeats: without its escape sequences the coloured story is the
// same, so that nobody has to see colours.
func TestColorOnlyRepeats(t *testing.T) {
	refused := named(t, "No TLS")
	plain, err := played(t, Options{Once: true}, []scene{refused})
	if err != nil {
		t.Fatal(err)
	}
	coloured, err := played(t, Options{Once: true, Color: true}, []scene{refused})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(coloured, "\x1b["+red+"m") || !strings.Contains(coloured, "\x1b["+green+"m") {
		t.Errorf("there is no red or no green:\n%q", coloured)
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(coloured, "")
	if diff := cmp.Diff(story(plain), story(stripped)); diff != "" {
		t.Errorf("(-plain +coloured):\n%s", diff)
	}
}

// story is the output without what differs from run to run: ports, session
// identifiers, times, fingerprints.
func story(out string) string {
	return regexp.MustCompile(`:[0-9]+|[0-9A-F]{16}|([0-9a-f]{4} ){15}[0-9a-f]{4}|[0-9]+\.[0-9]+ s|[A-Z][a-z]{2}, [0-9].*`).ReplaceAllString(out, "~")
}

func named(t *testing.T, title string) scene {
	t.Helper()
	scenes := allScenes()
	i := slices.IndexFunc(scenes, func(s scene) bool { return s.title == title })
	if i < 0 {
		t.Fatalf("there is no scene %q", title)
	}
	return scenes[i]
}

// TestSpoiledScenes: a lab whose outcomes are not asserted would show success
// whatever happens. Each scene here expects what cannot come.
func TestSpoiledScenes(t *testing.T) {
	spoiled := []struct {
		scene scene
		fault string
	}{
		{
			refusal("Nothing is wrong", "A partner as he should be.", "Reason:Revoked", func(*town, *letter) {}),
			"accepted: 250",
		},
		{
			refusal("For another reason", "No certificate, where a revoked one is expected.", "Reason:Revoked", func(_ *town, l *letter) { l.credentials = nil }),
			`refused with "454 4.7.5 Certificate validation failure, Reason:EmptyCertificate`,
		},
		{scene{title: "No mark", run: func(ctx context.Context, t *town) result {
			return t.delivered(ctx, t.letter("someone@nobody.example", "no mark"), "woodgrovebank.com")
		}}, "does not carry the mark for woodgrovebank.com"},
		{scene{title: "A mark", run: func(ctx context.Context, t *town) result {
			l := t.letter("ann@fabrikam.com", "a mark")
			l.source, l.name, l.credentials = fabrikamHost, "mail.fabrikam.com", &t.fabrikam
			return t.delivered(ctx, l, "")
		}}, "it carries the mark: Mailpact-Domain-Secured: domain=fabrikam.com;"},
		{scene{title: "Refused", run: func(ctx context.Context, t *town) result {
			l := t.letter("someone@nobody.example", "refused")
			l.to = "bob@elsewhere.example"
			return t.delivered(ctx, l, "")
		}}, "refused: 550 5.7.1"},
		{scene{title: "Nobody listens", run: func(ctx context.Context, t *town) result {
			l := t.letter("someone@nobody.example", "nobody listens")
			l.address = contosoHost + ":1"
			return t.refused(ctx, l, "5.7.1")
		}}, "connection refused"},
	}
	var scenes []scene
	for _, s := range spoiled {
		scenes = append(scenes, s.scene)
	}
	scenes = append(scenes, named(t, "No TLS")) // one that ends as it should
	out, err := played(t, Options{Once: true}, scenes)
	if !errors.Is(err, ErrUnexpected) {
		t.Errorf("got %v, want ErrUnexpected", err)
	}
	for _, s := range spoiled {
		_, after, _ := strings.Cut(out, s.scene.title+"\n")
		_, after, _ = strings.Cut(after, "NOT AS EXPECTED: ")
		line, _, _ := strings.Cut(after, "\n")
		if !strings.Contains(line, s.fault) {
			t.Errorf("%s: the fault is %q, want %q", s.scene.title, line, s.fault)
		}
	}
	if n := strings.Count(out, "NOT AS EXPECTED"); n != len(spoiled) {
		t.Errorf("%d scenes are faulty, want %d", n, len(spoiled))
	}
	if !strings.Contains(out, "6 of 7 outcomes were NOT the expected ones.") {
		t.Error("the summary does not say so")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestStaysUp ends the context once the lab says how to look around.
func TestStaysUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := play(ctx, Options{Out: w}, []scene{named(t, "No TLS")})
		w.Close()
		ended <- err
	}()
	var out strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		out.Write(buffer[:n])
		if strings.Contains(out.String(), "RECV*.log") { // the last of what one may look at
			cancel()
		}
		if err != nil {
			break
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(out.String(), "Both servers stay up until Ctrl-C") {
		t.Errorf("it does not say that it stays up:\n%s", out.String())
	}
}

// TestCancelledBetweenScenes ends in the middle, and takes everything down.
func TestCancelledBetweenScenes(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := 0
	scenes := []scene{
		{title: "One", run: func(context.Context, *town) result { last = 1; cancel(); return result{} }},
		{title: "Two", run: func(context.Context, *town) result { last = 2; return result{} }},
	}
	if err := play(ctx, Options{Out: io.Discard, Once: true}, scenes); !errors.Is(err, context.Canceled) || last != 1 {
		t.Errorf("got %v after scene %d", err, last)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("the lab leaves %v, %v", left, err)
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"short", "one two", []string{"one two"}},
		{"exact", "1234567890", []string{"1234567890"}},
		{"broken", "12345 67890", []string{"12345", "67890"}},
		{"longer than a line", "a 123456789012 b", []string{"a", "123456789012", "b"}},
		{"blanks", "  a \t b ", []string{"a b"}},
		{"nothing", "", []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, wrap(tt.in, 10)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
