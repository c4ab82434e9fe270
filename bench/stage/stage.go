package stage

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"mailpact/bench/wire"
	"mailpact/internal/authority"
	"mailpact/internal/dnsx/dnsserver"
)

// Names of the play. The mail domains are those of its partners.
const (
	ClientDomain = "client.bench.test"
	SinkDomain   = "sink.bench.test"
	SinkHost     = "mx.sink.bench.test"
	GatewayHost  = "gateway.bench.test"
	loopback     = "127.0.0.1"
)

// Stage is everything set up. Close takes the servers down; the files stay.
type Stage struct {
	RootFile string
	Client   wire.Credentials // of the load
	Gateway  wire.Credentials // of the server under test, both ways
	Sink     wire.Credentials
	DNS      netip.AddrPort

	zone *dnsserver.Server
	http *http.Server
	done chan struct{}
}

// Open sets everything up, with its files in directory.
func Open(directory string) (*Stage, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("publishing CRL: %w", err)
	}
	ca, err := authority.NewRoot(authority.RootOptions{
		CommonName: "Bench Root", CRLURL: "http://" + l.Addr().String() + authority.CRLPath,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Stage{
		RootFile: filepath.Join(directory, "root.pem"), done: make(chan struct{}),
		http: &http.Server{Handler: ca.Handler(), ReadHeaderTimeout: 5 * time.Second},
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // always ErrServerClosed after Close
	}()
	if err := s.fill(directory, ca); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stage) fill(directory string, ca *authority.CA) error {
	if err := os.WriteFile(s.RootFile, ca.CertificatePEM(), 0o644); err != nil {
		return fmt.Errorf("writing root: %w", err)
	}
	for _, c := range []struct {
		to    *wire.Credentials
		names []string
	}{
		{&s.Client, []string{ClientDomain}},
		{&s.Gateway, []string{GatewayHost}},
		{&s.Sink, []string{SinkHost, SinkDomain}},
	} {
		chain, key, _, err := ca.Issue(authority.IssueOptions{DNSNames: c.names})
		if err != nil {
			return err
		}
		base := filepath.Join(directory, c.names[0])
		*c.to = wire.Credentials{CertificateFile: base + ".pem", KeyFile: base + ".key", RootFile: s.RootFile}
		if err := errors.Join(os.WriteFile(c.to.CertificateFile, chain, 0o644), os.WriteFile(c.to.KeyFile, key, 0o600)); err != nil {
			return fmt.Errorf("writing certificate: %w", err)
		}
	}
	zone := dnsserver.NewZone(3600)
	if err := errors.Join(
		zone.Set(SinkDomain, dnsserver.MX(10, SinkHost)),
		zone.Set(SinkHost, dnsserver.Address(netip.MustParseAddr(loopback))),
	); err != nil {
		return err
	}
	var err error
	if s.zone, err = dnsserver.Listen(net.JoinHostPort(loopback, "0"), zone); err != nil {
		return fmt.Errorf("starting DNS server: %w", err)
	}
	s.DNS = s.zone.Addr()
	return nil
}

// Close takes the servers down.
func (s *Stage) Close() error {
	err := s.http.Close()
	<-s.done
	if s.zone != nil {
		err = errors.Join(err, s.zone.Close())
	}
	return err
}

// FreeAddress returns a loopback address with a port that is free at the moment.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
