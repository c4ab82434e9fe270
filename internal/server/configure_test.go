package server_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/server"
)

func TestConfigure(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mailpact.yaml")
	writeFile(t, file, "server: {fqdn: mail1.contoso.com, dataDirectory: data}\n")
	faulty := filepath.Join(dir, "faulty.yaml")
	writeFile(t, faulty, "server: {fqdn: mail1.contoso.com, dataDirectory: data}\nresolver: []\npartners: [{}]\n")

	t.Run("file", func(t *testing.T) {
		c, err := server.Configure(server.ConfigureOptions{File: file, Listen: "127.0.0.1:2525"})
		if err != nil {
			t.Fatal(err)
		}
		if c.Server.DataDirectory != filepath.Join(dir, "data") || c.ReceiveConnectors[0].Bindings[0] != "127.0.0.1:2525" {
			t.Errorf("data %s, bindings %v", c.Server.DataDirectory, c.ReceiveConnectors[0].Bindings)
		}
	})
	t.Run("no file", func(t *testing.T) {
		c, err := server.Configure(server.ConfigureOptions{DataDirectory: filepath.Join(dir, "own")})
		if err != nil {
			t.Fatal(err)
		}
		if c.Server.DataDirectory != filepath.Join(dir, "own") || c.Server.AdminSocket != filepath.Join(dir, "own", "admin.sock") {
			t.Errorf("data %s, socket %s", c.Server.DataDirectory, c.Server.AdminSocket)
		}
	})
	t.Run("all faults at once", func(t *testing.T) {
		_, err := server.Configure(server.ConfigureOptions{File: faulty})
		var faults server.Faults
		if !errors.As(err, &faults) || len(faults) < 2 {
			t.Fatalf("got %v; want every fault", err)
		}
		for i, line := range []int{2, 3} {
			if faults[i].Line != line {
				t.Errorf("fault %d is of line %d, want %d: %v", i, faults[i].Line, line, faults[i])
			}
		}
	})
	t.Run("no file at the path", func(t *testing.T) {
		_, err := server.Configure(server.ConfigureOptions{File: filepath.Join(dir, "gone.yaml")})
		if err == nil || !strings.Contains(err.Error(), "gone.yaml") {
			t.Errorf("got %v", err)
		}
	})
}
