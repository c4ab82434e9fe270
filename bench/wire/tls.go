package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Credentials are PEM files for one end of a mutual TLS connection.
type Credentials struct {
	CertificateFile string `json:"certificateFile"`
	KeyFile         string `json:"keyFile"`
	RootFile        string `json:"rootFile"` // what the other end is verified against
}

// Load returns settings for a client and a server alike: ECDSA P-256 as the
// bench's certificates are, X25519 with every peer, whole records.
func (c Credentials) Load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.CertificateFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading certificate: %w", err)
	}
	octets, err := os.ReadFile(c.RootFile)
	if err != nil {
		return nil, fmt.Errorf("loading root: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(octets) {
		return nil, fmt.Errorf("loading root: %s holds no certificate", c.RootFile)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots, ClientCAs: roots,
		MinVersion:                  tls.VersionTLS12,
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256},
		DynamicRecordSizingDisabled: true,
	}, nil
}
