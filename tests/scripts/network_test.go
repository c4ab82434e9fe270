package scripts

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"mailpact/internal/admin"
	"mailpact/internal/dnsx/dnsserver"
)

// makeNetwork gives each domain a mail host on a loopback address: it sets PORT and
// HTTP to ports that are free on all of them, and DNS to a server that knows them.
func makeNetwork(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: network DOMAIN=ADDRESS...")
	}
	zone := dnsserver.NewZone(60)
	var hosts []string
	for _, a := range args {
		domain, host, _ := strings.Cut(a, "=")
		address, err := netip.ParseAddr(host)
		ts.Check(err)
		ts.Check(zone.Set(domain, dnsserver.MX(10, "mail1."+domain)))
		ts.Check(zone.Set("mail1."+domain, dnsserver.Address(address)))
		hosts = append(hosts, host)
	}
	server, err := dnsserver.Listen("127.0.0.1:0", zone)
	ts.Check(err)
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv("DNS", server.Addr().String())
	for _, name := range []string{"PORT", "HTTP"} {
		port, err := freePort(hosts)
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

// freePort returns a port that is free on every host.
func freePort(hosts []string) (string, error) {
	var err error
	for range 50 {
		port := "0"
		var all []net.Listener
		for _, h := range hosts {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(h, port)); err != nil {
				break
			}
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		for _, l := range all {
			l.Close()
		}
		if err == nil {
			return port, nil
		}
	}
	return "", fmt.Errorf("no port is free on %v: %w", hosts, err)
}

// fillFiles replaces $NAME in files by the script's variables.
func fillFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE...")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// awaitCount waits until a counter of a server has a value.
func awaitCount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: counted SOCKET COUNTER VALUE")
	}
	client := admin.NewClient(ts.MkAbs(args[0]))
	retry(ts, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		counters, err := admin.Call[map[string]any](ctx, client, "counters.show", nil)
		if err != nil {
			return err
		}
		if got := fmt.Sprint(counters[args[1]]); got != args[2] {
			return fmt.Errorf("%s is %s of %v", args[1], got, counters)
		}
		return nil
	})
}
