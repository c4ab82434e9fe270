package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// note is the request and the response of the operations that tests call.
type note struct {
	Text string `json:"text"`
}

// testService has operations that answer, fail in each way, and wait.
func testService(t *testing.T, logger *slog.Logger, wait func(context.Context)) *Service {
	t.Helper()
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	op := func(name string, fn func(*Service, context.Context, note) (note, error)) Operation {
		return define(Operation{Name: name, Role: RoleViewer}, fn)
	}
	return &Service{logger: logger, operations: []Operation{
		op("note.echo", func(_ *Service, _ context.Context, n note) (note, error) { return n, nil }),
		op("note.find", func(_ *Service, _ context.Context, n note) (note, error) {
			return note{}, NotFound("note "+n.Text, "mailpact note list")
		}),
		op("note.break", func(*Service, context.Context, note) (note, error) {
			return note{}, errors.New("opening /secret/path: broken")
		}),
		op("note.wait", func(_ *Service, ctx context.Context, n note) (note, error) {
			wait(ctx)
			return n, nil
		}),
		define(Operation{Name: "note.remove", Role: RoleAdministrator, Changes: true}, func(*Service, context.Context, note) (note, error) { return note{}, nil }),
	}}
}

func TestHandler(t *testing.T) {
	var log bytes.Buffer
	s := testService(t, slog.New(slog.NewTextHandler(&log, nil)), nil)
	tests := []struct {
		name, method, path, body string
		role                     Role
		status                   int
		want                     string // in the answer
	}{
		{"echo", "POST", "/v1/note.echo", `{"text":"a"}`, RoleViewer, 200, `{"text":"a"}`},
		{"no body", "POST", "/v1/note.echo", ``, RoleViewer, 200, `{"text":""}`},
		{"largest", "POST", "/v1/note.echo", `{"text":"` + strings.Repeat("a", maxRequestBytes-11) + `"}`, RoleViewer, 200, `aaa"}`},
		{"too large", "POST", "/v1/note.echo", `{"text":"` + strings.Repeat("a", maxRequestBytes-10) + `"}`, RoleViewer, 422, "larger than 1048576 bytes"},
		{"unknown field", "POST", "/v1/note.echo", `{"txt":"a"}`, RoleViewer, 422, `unknown field \"txt\"`},
		{"not found", "POST", "/v1/note.find", `{"text":"a"}`, RoleViewer, 404, `"object":"note a"`},
		{"fault", "POST", "/v1/note.break", ``, RoleViewer, 500, "its log says more"},
		{"unknown operation", "POST", "/v1/note.burn", ``, RoleAdministrator, 404, `"kind":"notFound"`},
		{"not permitted", "POST", "/v1/note.remove", ``, RoleViewer, 403, `"kind":"notPermitted"`},
		{"nobody", "POST", "/v1/note.echo", ``, "", 403, "this user may not manage the server"},
		{"GET", "GET", "/v1/note.echo", ``, RoleViewer, 405, ""},
		{"deeper path", "POST", "/v1/note.echo/x", ``, RoleViewer, 404, ""},
		{"other path", "POST", "/", ``, RoleViewer, 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h := s.Handler(func(*http.Request) Role { return tt.role })
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body)))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %.300s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if strings.Contains(w.Body.String(), "/secret/path") {
				t.Errorf("a fault's text goes out: %s", w.Body)
			}
			want := "application/problem+json"
			if tt.status == 200 {
				want = "application/json"
			}
			if got := w.Header().Get("Content-Type"); tt.want != "" && got != want {
				t.Errorf("Content-Type %s, want %s", got, want)
			}
		})
	}
	if !strings.Contains(log.String(), "/secret/path") || strings.Count(log.String(), "operation failed") != 1 {
		t.Errorf("the log does not hold the fault, and it alone:\n%s", log.String())
	}
}

// listen serves s on a socket until the test ends.
func listen(t *testing.T, s *Service) (string, *Socket) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	k, err := s.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	k.Start()
	t.Cleanup(func() {
		if err := k.Stop(context.Background()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return path, k
}

func TestClient(t *testing.T) {
	path, _ := listen(t, testService(t, nil, nil))
	c := NewClient(path)
	t.Run("answer", func(t *testing.T) {
		got, err := Call[note](t.Context(), c, "note.echo", note{"hello"})
		if err != nil || got.Text != "hello" {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("no request", func(t *testing.T) {
		if _, err := Call[note](t.Context(), c, "note.echo", nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("error of the operation", func(t *testing.T) {
		_, err := Call[note](t.Context(), c, "note.find", note{"7"})
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("got %v", err)
		}
		if diff := cmp.Diff(&Error{Kind: KindNotFound, Object: "note 7", Detail: "does not exist", Fix: "mailpact note list"}, e); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("unknown operation", func(t *testing.T) {
		_, err := Call[note](t.Context(), c, "note.burn", nil)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindNotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another answer than asked for", func(t *testing.T) {
		if got, err := Call[[]string](t.Context(), c, "note.echo", nil); err == nil {
			t.Errorf("got %v", got)
		}
	})
	t.Run("no problem in the answer", func(t *testing.T) {
		_, err := Call[note](t.Context(), c, "note/echo", nil)
		var e *Error
		if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), "404") {
			t.Errorf("got %v", err)
		}
	})
}

func TestClientWithoutServer(t *testing.T) {
	dir := t.TempDir()
	dead := deadSocket(t, filepath.Join(dir, "dead.sock"))
	file := filepath.Join(dir, "file.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		path string
		want error
	}{
		{"no socket", t.Context(), filepath.Join(dir, "none.sock"), os.ErrNotExist},
		{"nobody listens", t.Context(), dead, syscall.ECONNREFUSED},
		{"no socket but a file", t.Context(), file, syscall.ECONNREFUSED},
		{"ended", ended, dead, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Call[note](tt.ctx, NewClient(tt.path), "note.echo", nil)
			var u *UnreachableError
			if !errors.As(err, &u) || u.Socket != tt.path || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want it unreachable for %v", err, tt.want)
			}
		})
	}
}

// deadSocket leaves a socket's file behind as a server does that was killed.
func deadSocket(t *testing.T, path string) string {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestListenSocket(t *testing.T) {
	s := testService(t, nil, nil)
	t.Run("mode", func(t *testing.T) {
		path, _ := listen(t, s)
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 || st.Mode().Type() != os.ModeSocket {
			t.Errorf("mode %v, want a socket of 0600", st.Mode())
		}
	})
	t.Run("stale socket", func(t *testing.T) {
		path := deadSocket(t, filepath.Join(t.TempDir(), "admin.sock"))
		k, err := s.ListenSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		k.Start()
		if _, err := Call[note](t.Context(), NewClient(path), "note.echo", nil); err != nil {
			t.Error(err)
		}
		if err := k.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("live socket", func(t *testing.T) {
		path, _ := listen(t, s)
		_, err := s.ListenSocket(path)
		if err == nil || !strings.Contains(err.Error(), "another server answers there") || !strings.Contains(err.Error(), "server.adminSocket") {
			t.Errorf("got %v", err)
		}
		if _, err := Call[note](t.Context(), NewClient(path), "note.echo", nil); err != nil {
			t.Errorf("the first server is gone: %v", err)
		}
	})
	t.Run("another file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "admin.sock")
		if err := os.WriteFile(path, []byte("somebody's letters"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.ListenSocket(path)
		if err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("got %v", err)
		}
		if b, err := os.ReadFile(path); string(b) != "somebody's letters" {
			t.Errorf("the file is lost: %q, %v", b, err)
		}
	})
	t.Run("link to another file", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "admin.sock")
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
			t.Fatal(err)
		}
		if k, err := s.ListenSocket(path); err == nil {
			t.Errorf("a dangling link is bound: %v", k.Stop(t.Context()))
		}
	})
	t.Run("no such folder", func(t *testing.T) {
		if _, err := s.ListenSocket(filepath.Join(t.TempDir(), "none", "admin.sock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStopSocket(t *testing.T) {
	t.Run("removes the socket", func(t *testing.T) {
		path, k := listen(t, testService(t, nil, nil))
		if err := k.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	})
	t.Run("never started", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "admin.sock")
		k, err := testService(t, nil, nil).ListenSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	})
	for _, tt := range []struct {
		name string
		end  func() (context.Context, context.CancelFunc)
	}{
		{"bound", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 20*time.Millisecond)
		}},
		{"cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		}},
	} {
		t.Run("cuts a call when its context ends: "+tt.name, func(t *testing.T) {
			began, cut := make(chan struct{}), make(chan struct{})
			path, k := listen(t, testService(t, nil, func(ctx context.Context) {
				close(began)
				<-ctx.Done() // ends with the connection
				close(cut)
			}))
			answered := make(chan error, 1)
			go func() {
				_, err := Call[note](context.Background(), NewClient(path), "note.wait", nil)
				answered <- err
			}()
			<-began
			ctx, cancel := tt.end()
			defer cancel()
			if err := k.Stop(ctx); err != nil {
				t.Errorf("stopping: %v", err)
			}
			<-cut
			if err := <-answered; err == nil {
				t.Error("the call that was cut succeeded")
			}
		})
	}
}

// TestPeerCredentials asks as the user that the test runs as, who is the
// server's own, and as another one.
func TestPeerCredentials(t *testing.T) {
	path, _ := listen(t, testService(t, nil, nil))
	if got := asUser(t, path, nil); got.Status != http.StatusOK {
		t.Errorf("the server's own user gets %+v", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can run the client as another user")
	}
	// The file's mode keeps others out; the credentials must do so alone.
	for _, p := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	got := asUser(t, path, &syscall.Credential{Uid: 65534, Gid: 65534})
	if got.Status != http.StatusForbidden || got.Kind != KindNotPermitted || got.Fix == "" {
		t.Errorf("another user gets %+v", got)
	}
}

// asUser runs this test's binary as a client of the socket at path, with
// credentials or, without, as ourselves.
func asUser(t *testing.T, path string, cred *syscall.Credential) (answer struct {
	Status int
	Kind   Kind
	Fix    string
},
) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The child gets its own binary as an open file: its path may be closed to the other user.
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^TestAsAnotherUser$")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Dir = "/"
	cmd.Env = []string{"ADMIN_SOCKET=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the client: %v\n%s", err, out)
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return answer
}

// TestAsAnotherUser is the client of TestPeerCredentials.
func TestAsAnotherUser(t *testing.T) {
	path := os.Getenv("ADMIN_SOCKET")
	if path == "" {
		t.Skip("runs as a child of TestPeerCredentials only")
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
	r, err := client.Post("http://mailpact/v1/note.echo", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"Status": r.StatusCode, "Kind": p.Kind, "Fix": p.Fix}); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutCredentials: a request that did not come over the socket has no role.
func TestWithoutCredentials(t *testing.T) {
	if role := socketRole(httptest.NewRequest(http.MethodPost, "/v1/note.echo", nil)); role != "" {
		t.Errorf("it is %q", role)
	}
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	r := httptest.NewRequest(http.MethodPost, "/v1/note.echo", nil)
	if role := socketRole(r.WithContext(withPeer(r.Context(), server))); role != "" {
		t.Errorf("over another kind of connection it is %q", role)
	}
}
