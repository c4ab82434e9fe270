package peers

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/template"
	"time"

	"mailpact/bench/account"
	"mailpact/bench/stage"
)

// Options are what a peer is set up from.
type Options struct {
	Stage *stage.Stage
	// Directory is the peer's own, empty, on the file system where queues are to be.
	Directory   string
	Address     string // to listen at
	SinkAddress string
}

// Peer is a server under test.
type Peer interface {
	// Name is what the tables call it.
	Name() string
	// Start starts it in g and returns when it listens.
	Start(ctx context.Context, g account.Group) error
	// Check looks, while the server runs, whether it did what the
	// comparison takes for granted with the messages it was given.
	Check(ctx context.Context, messages int64) error
	// Stop ends it.
	Stop() error
}

//go:embed templates
var templates embed.FS

// render fills a template of this package into a file.
func render(name, file string, data any) error {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return fmt.Errorf("reading template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("filling template: %w", err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing configuration: %w", err)
	}
	return nil
}

// process is a server in the foreground, with its output in a file.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 40 * time.Second
)

// start starts cmd and waits until somebody listens at address.
func start(ctx context.Context, cmd *exec.Cmd, log, address string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("starting server: %w", err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting server: %w", err)
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ended matters only if nobody asked it to
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("starting server: it ended\n%s", tail(log))
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("starting server: nobody listens at %s\n%s", address, tail(log)), p.stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop asks the process to end, and makes it.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return p.wait()
}

func (p *process) wait() error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("stopping server: it did not end within %s", stopTimeout)
	}
}

// tail returns the end of a file, for error messages.
func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

func (o *Options) file(name string) string { return filepath.Join(o.Directory, name) }
