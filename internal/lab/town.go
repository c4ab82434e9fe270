package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/authority"
	"mailpact/internal/dnsx/dnsserver"
	"mailpact/internal/server"
)

// Each party has a loopback address of its own, all on one port, as they would
// on the Internet; dnsHost serves their MX records.
const (
	contosoHost   = "127.10.0.1"
	woodgroveHost = "127.10.0.2"
	fabrikamHost  = "127.10.0.3"
	strangerHost  = "127.10.0.66"
	dnsHost       = "127.10.0.53"
)

// stopBound is how long the servers may take to stop.
const stopBound = 10 * time.Second

// town is the whole lab.
type town struct {
	dir                string
	port               string
	contoso, woodgrove *organisation
	strangerCA         *authority.CA
	zone               *dnsserver.Server
	fabrikam           credentials // self-signed
	credentials        map[string]credentials
	closers            []func() error // run in reverse order
}

// organisation is one side: its server, CA, mailbox and files.
type organisation struct {
	domain, host string
	ca           *authority.CA
	mailbox      *mailbox
	server       *server.Server
	doors        []net.Listener // bound before everything else, so that nothing takes their ports
	config       string         // path of its file
	data         string
	inner        string // address of its inner receive connector
	socket       string
	fingerprint  string // of the key that signs its partner bundles
}

func (o *organisation) mailHost() string { return "mail1." + o.domain }

// client calls management operations of the organisation's server.
func (o *organisation) client() *admin.Client { return admin.NewClient(o.socket) }

// build makes everything and starts it. What was made before a failure is taken
// down again.
func build(ctx context.Context) (t *town, err error) {
	t = &town{credentials: map[string]credentials{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if t.dir, err = os.MkdirTemp("", "mailpact-lab-"); err != nil {
		return t, err
	}
	t.onClose(func() error { return os.RemoveAll(t.dir) })
	t.contoso = &organisation{domain: "contoso.com", host: contosoHost}
	t.woodgrove = &organisation{domain: "woodgrovebank.com", host: woodgroveHost}
	for _, step := range []func() error{t.bindDoors, t.openMailboxes, t.makeAuthorities, t.makeCredentials, t.publishZone} {
		if err = step(); err != nil {
			return t, err
		}
	}
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		if err = t.startServer(ctx, o); err != nil {
			return t, fmt.Errorf("starting %s: %w", o.domain, err)
		}
	}
	return t, t.exchangeBundles(ctx)
}

func (t *town) onClose(f func() error) { t.closers = append(t.closers, f) }

// close takes everything down in reverse order and joins the errors.
func (t *town) close() error {
	var errs []error
	for i := len(t.closers) - 1; i >= 0; i-- {
		errs = append(errs, t.closers[i]())
	}
	t.closers = nil
	return errors.Join(errs...)
}

// bindDoors binds the receive connectors of both organisations: the outer ones
// on one port, as mail hosts are, and the inner ones wherever there is room.
func (t *town) bindDoors() error {
	outer, err := listenOnOnePort(t.contoso.host, t.woodgrove.host)
	if err != nil {
		return err
	}
	t.contoso.doors, t.woodgrove.doors = outer[:1:1], outer[1:]
	t.onClose(func() error { return closeDoors(slices.Concat(t.contoso.doors, t.woodgrove.doors)) })
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		inner, err := net.Listen("tcp", net.JoinHostPort(o.host, "0"))
		if err != nil {
			return fmt.Errorf("binding the inner connector of %s: %w", o.domain, err)
		}
		o.doors = append(o.doors, inner)
		o.inner = inner.Addr().String()
	}
	_, t.port, err = net.SplitHostPort(outer[0].Addr().String())
	return err
}

// listenOnOnePort listens on a port that is free on every host, in their order.
func listenOnOnePort(hosts ...string) ([]net.Listener, error) {
	const tries = 100
	var err error
	for range tries {
		port := "0"
		var all []net.Listener
		for _, h := range hosts {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(h, port)); err != nil {
				break
			}
			all = append(all, l)
			if _, port, err = net.SplitHostPort(l.Addr().String()); err != nil {
				break
			}
		}
		if err == nil {
			return all, nil
		}
		_ = closeDoors(all) // the next try says whether there is anything wrong
	}
	return nil, fmt.Errorf("finding a port that is free on %v: %w", hosts, err)
}

// closeDoors closes what the servers have not closed already.
func closeDoors(doors []net.Listener) error {
	var errs []error
	for _, l := range doors {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *town) openMailboxes() error {
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		m, err := openMailbox(o.host)
		if err != nil {
			return err
		}
		o.mailbox = m
		t.onClose(m.close)
	}
	return nil
}

func (t *town) publishZone() error {
	zone := dnsserver.NewZone(60)
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		if err := zone.Set(o.domain, dnsserver.MX(10, o.mailHost())); err != nil {
			return err
		}
		if err := zone.Set(o.mailHost(), dnsserver.Address(netip.MustParseAddr(o.host))); err != nil {
			return err
		}
	}
	s, err := dnsserver.Listen(net.JoinHostPort(dnsHost, "0"), zone)
	if err != nil {
		return fmt.Errorf("starting the DNS server: %w", err)
	}
	t.zone = s
	t.onClose(s.Close)
	return nil
}

func (t *town) startServer(ctx context.Context, o *organisation) error {
	o.data = filepath.Join(t.dir, o.domain, "data")
	o.socket = filepath.Join(o.data, "admin.sock")
	o.config = filepath.Join(t.dir, o.domain, "mailpact.yaml")
	if err := os.WriteFile(o.config, []byte(t.configuration(o)), 0o600); err != nil {
		return err
	}
	configure := server.ConfigureOptions{File: o.config}
	cfg, err := server.Configure(configure)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(t.dir, o.domain, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	t.onClose(log.Close)
	s, err := server.New(ctx, server.Options{Configuration: cfg, Origin: configure.Origin(), Inherited: o.doors, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return err
	}
	o.server = s
	t.onClose(func() error {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
		defer cancel()
		return s.Stop(stopCtx)
	})
	return s.Start(ctx)
}

// serveHTTP serves h on a free port of host until the lab closes, and returns the
// address and a way to end it earlier.
func (t *town) serveHTTP(host string, h http.Handler) (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // always ErrServerClosed after Close
	}()
	stop = func() error {
		err := s.Close()
		<-done
		return err
	}
	t.onClose(stop)
	return l.Addr().String(), stop, nil
}
