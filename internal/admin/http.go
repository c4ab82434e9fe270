package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const apiPrefix = "/v1/"

type peerKey struct{}

// Handler serves the operations as POST /v1/<name>. The caller's role comes
// from roleOf; an empty role is refused.
func (s *Service) Handler(roleOf func(*http.Request) Role) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+apiPrefix+"{name}", func(w http.ResponseWriter, r *http.Request) {
		role := roleOf(r)
		if role == "" {
			s.fail(w, r, &Error{Kind: KindNotPermitted, Detail: "this user may not manage the server", Fix: "run the command as root or as the server's user"})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
		if err != nil {
			s.fail(w, r, &Error{Kind: KindInvalid, Detail: fmt.Sprintf("the request is larger than %d bytes or was cut", maxRequestBytes)})
			return
		}
		response, err := s.Call(r.Context(), role, r.PathValue("name"), body)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(response); err != nil {
			s.logger.Debug("answering an operation", slog.String("error", err.Error()))
		}
	})
	return mux
}

func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, internal := problemOf(err)
	if internal {
		s.logger.Error("operation failed", slog.String("operation", strings.TrimPrefix(r.URL.Path, apiPrefix)), slog.String("error", err.Error()))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller went away: nobody is left to tell
}

// Socket serves the operations on a Unix socket to processes of root and of the
// server's own user, whose credentials the kernel vouches for (SO_PEERCRED).
type Socket struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when Serve returned; nil before Start
}

// ListenSocket binds path with mode 0600. A socket left behind by a dead server is
// removed; one that is answered is an error, and so is any other file there.
func (s *Service) ListenSocket(path string) (*Socket, error) {
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("binding admin socket: %s is there and is no socket (move it away, or set server.adminSocket)", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("binding admin socket %s: another server answers there (stop it, or set server.adminSocket)", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing stale admin socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("binding admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("restricting admin socket: %w", err)
	}
	return &Socket{
		listener: l,
		server: &http.Server{
			Handler:           s.Handler(socketRole),
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
			ConnContext:       withPeer,
		},
	}, nil
}

// Start serves in a goroutine that Stop waits for.
func (k *Socket) Start() {
	done := make(chan struct{})
	k.done = done
	go func() {
		defer close(done)
		_ = k.server.Serve(k.listener) // always ErrServerClosed after Stop
	}()
}

// Stop lets running calls finish until ctx ends, then cuts them. A Socket that
// was never started is just closed.
func (k *Socket) Stop(ctx context.Context) error {
	err := k.server.Shutdown(ctx)
	if ctx.Err() != nil {
		err = k.server.Close()
	}
	k.listener.Close()
	if k.done != nil {
		<-k.done
	}
	return err
}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if err := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return ctx
	}
	if cred == nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred.Uid)
}

// socketRole grants root and the server's own user everything, and others nothing.
func socketRole(r *http.Request) Role {
	uid, ok := r.Context().Value(peerKey{}).(uint32)
	if ok && (uid == 0 || int(uid) == os.Geteuid()) {
		return RoleAdministrator
	}
	return ""
}
