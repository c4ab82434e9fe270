package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/bench/stage"
	"mailpact/internal/directory"
	"mailpact/internal/server"
)

func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	s, err := stage.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return Options{Stage: s, Directory: dir, Address: "127.0.0.1:2525", SinkAddress: "127.0.0.1:2626"}
}

// A configuration that the product refuses, or in which something is not
// secured, would only show in the figures.
func TestMailpactIsSecuredOnBothSides(t *testing.T) {
	file, err := NewMailpact(options(t), []string{"mailpact", "serve"}).configure()
	if err != nil {
		t.Fatal(err)
	}
	c, err := server.Configure(server.ConfigureOptions{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.ReceiveConnectors[0]; !r.DomainSecureEnabled || !r.RequireTLS || r.ProtocolLoggingLevel != directory.LoggingNone {
		t.Errorf("receive connector %+v", r)
	}
	if s := c.SendConnectors[0]; !s.DomainSecureEnabled || s.Port != 2626 {
		t.Errorf("send connector %+v", s)
	}
	for _, p := range c.Partners {
		if p.Mode != directory.ModeEnforce || p.Domain == stage.ClientDomain && !p.Receive || p.Domain == stage.SinkDomain && !p.Send {
			t.Errorf("partner %+v", p)
		}
	}
}

func TestPostfixConfigurationIsComplete(t *testing.T) {
	o := options(t)
	if err := os.Mkdir(o.file("etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := NewPostfix(o).configure(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"main.cf": "relayhost = [127.0.0.1]:2626\n", "master.cf": "\n127.0.0.1:2525 inet "} {
		b, err := os.ReadFile(filepath.Join(o.file("etc"), name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %q: %v", name, want, err)
		}
	}
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed (sudo scripts/peers)")
	}
	out, err := exec.Command("postconf", "-c", o.file("etc"), "-n").CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning: ") {
		t.Errorf("postconf: %v\n%s", err, out)
	}
}
