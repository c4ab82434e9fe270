package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// maxIssuerBytes bounds an answer of an issuers' address.
	maxIssuerBytes = 256 << 10
	// maxIssuerCertificates bounds the certificates taken from one.
	maxIssuerCertificates = 10
	// maxIssuerAnswers bounds the remembered answers, failures included.
	maxIssuerAnswers = 256
	// issuerAge and issuerFailureAge are how long they are remembered.
	issuerAge        = 24 * time.Hour
	issuerFailureAge = time.Minute
)

// Issuers fetches the certificates of issuers from the addresses that
// certificates name (RFC 5280, section 4.2.2.1, caIssuers), under the bounds and
// the guard of a Checker, and remembers the answers. What it returns is what a
// stranger's server said: it is to be verified like what a peer presents. It is
// safe for concurrent use and must not be used after the Checker's Stop.
type Issuers struct {
	fetcher *fetcher
	perURL  time.Duration
	now     func() time.Time

	mu      sync.Mutex
	answers map[string]*issuerAnswer
}

// issuerAnswer is what an address gave; it is complete once done is closed.
type issuerAnswer struct {
	done         chan struct{}
	certificates []*x509.Certificate
	err          error
	until        time.Time
}

// Issuers returns a fetcher of issuers that goes where c may go.
func (c *Checker) Issuers() *Issuers {
	return &Issuers{
		fetcher: newFetcher(c.fetcher.directory, c.fetcher.dialer, maxIssuerBytes, c.fetcher.settings),
		perURL:  c.perURL, now: c.now, answers: map[string]*issuerAnswer{},
	}
}

// Fetch returns the certificates at address, in DER or PEM, at least one. One
// fetch serves all who wait for it.
func (i *Issuers) Fetch(ctx context.Context, address string) ([]*x509.Certificate, error) {
	for {
		i.mu.Lock()
		a := i.answers[address]
		if a == nil || finished(a.done) && !i.now().Before(a.until) {
			a = &issuerAnswer{done: make(chan struct{})}
			i.makeRoom()
			i.answers[address] = a
			i.mu.Unlock()
			i.fill(ctx, address, a)
			return a.certificates, a.err
		}
		i.mu.Unlock()
		select {
		case <-a.done:
			if a.err != nil && errors.Is(a.err, context.Canceled) && ctx.Err() == nil {
				i.forget(address, a) // the one who asked has left; we have not
				continue
			}
			return a.certificates, a.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func finished(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (i *Issuers) forget(address string, a *issuerAnswer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.answers[address] == a {
		delete(i.answers, address)
	}
}

// makeRoom keeps the map below its bound. i.mu is held.
func (i *Issuers) makeRoom() {
	if len(i.answers) < maxIssuerAnswers {
		return
	}
	for address, a := range i.answers {
		if finished(a.done) {
			delete(i.answers, address)
		}
	}
}

func (i *Issuers) fill(ctx context.Context, address string, a *issuerAnswer) {
	defer close(a.done)
	limited, cancel := context.WithTimeout(ctx, i.perURL)
	defer cancel()
	a.certificates, a.err = i.download(limited, address)
	a.until = i.now().Add(issuerAge)
	if a.err != nil {
		a.err = timeoutText(a.err, i.perURL)
		if ctx.Err() != nil {
			a.err = ctx.Err()
		}
		a.until = i.now().Add(issuerFailureAge)
	}
}

func (i *Issuers) download(ctx context.Context, address string) ([]*x509.Certificate, error) {
	d, err := i.fetcher.fetch(ctx, address, validators{})
	if err != nil {
		return nil, err
	}
	defer os.Remove(d.path)
	content, err := os.ReadFile(d.path)
	if err != nil {
		return nil, fmt.Errorf("reading download: %w", err)
	}
	return parseIssuers(content)
}

// parseIssuers reads one certificate in DER, as the standard has it, or several in PEM.
func parseIssuers(content []byte) ([]*x509.Certificate, error) {
	if !bytes.Contains(content, []byte("-----BEGIN")) {
		c, err := x509.ParseCertificate(content)
		if err != nil {
			return nil, fmt.Errorf("the answer is no certificate in DER or PEM: %w", err)
		}
		return []*x509.Certificate{c}, nil
	}
	var found []*x509.Certificate
	for rest := content; len(found) < maxIssuerCertificates; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the answer's certificate %d: %w", len(found)+1, err)
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, errors.New("the answer holds no certificate")
	}
	return found, nil
}
