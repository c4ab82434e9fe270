package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"mailpact/internal/domainsec"
)

// IssuerSource fetches the certificates of an issuer from an address that a
// certificate names (RFC 5280, section 4.2.2.1, caIssuers). It bounds size and
// time, goes nowhere inside, and must be safe for concurrent use.
type IssuerSource interface {
	Fetch(ctx context.Context, address string) ([]*x509.Certificate, error)
}

// Bounds of fetching issuers for one judgement.
const (
	maxIssuerRounds    = 3 // each can add one CA to a path
	maxIssuerAddresses = 4
)

// findPaths builds paths, and fetches issuers that are missing while no path is
// good. Nothing is fetched for strangers: only for listed clients, and servers
// to which we send, whose certificate has the name.
func (v *Verifier) findPaths(ctx context.Context, r Request) (good []Path, failed []FailedPath, f issuerFetches) {
	request := v.buildRequest(r.Presented, r.Now)
	request.IgnoreCommonName = !v.commonName || r.NameCheck == domainsec.NamesByHost
	for range maxIssuerRounds {
		good, failed = v.builder.Build(ctx, request)
		if len(good) > 0 || !v.mayFetchIssuers(r) || ctx.Err() != nil {
			return good, failed, f
		}
		found := f.fetch(ctx, v.issuers, failed)
		if len(found) == 0 {
			return good, failed, f
		}
		// The slice may be the store's own.
		request.Intermediates = append(slices.Clip(request.Intermediates), found...)
	}
	good, failed = v.builder.Build(ctx, request)
	return good, failed, f
}

func (v *Verifier) mayFetchIssuers(r Request) bool {
	return v.issuers != nil && v.mayAsk(r) &&
		(r.NameCheck == domainsec.NamesUnchecked || v.matchedName(r.Presented[0], nil, r) != "")
}

// issuerFetches are what was fetched for one judgement.
type issuerFetches struct {
	done []domainsec.IssuerFetch
	// unreachable says of a certificate why its issuer could not be fetched.
	unreachable map[*x509.Certificate]string
}

// fetch asks the addresses that the tips of dead ends name, and returns what is new.
func (f *issuerFetches) fetch(ctx context.Context, from IssuerSource, failed []FailedPath) []*x509.Certificate {
	var found []*x509.Certificate
	for i := range failed {
		p := &failed[i]
		tip := p.Elements[len(p.Elements)-1]
		if p.Anchored || selfIssued(tip) {
			continue
		}
		for _, address := range tip.IssuingCertificateURL {
			if len(f.done) == maxIssuerAddresses {
				return found
			}
			if slices.ContainsFunc(f.done, func(d domainsec.IssuerFetch) bool { return d.Address == address }) {
				continue
			}
			started := time.Now()
			certs, err := from.Fetch(ctx, address)
			d := domainsec.IssuerFetch{Address: address, Certificates: len(certs), Took: time.Since(started)}
			if err != nil {
				d.Error = err.Error()
				if f.unreachable == nil {
					f.unreachable = map[*x509.Certificate]string{}
				}
				f.unreachable[tip] = fmt.Sprintf("%s: its issuer could not be fetched from %s: %v", certificateLabel(tip), address, err)
			}
			f.done = append(f.done, d)
			found = append(found, certs...)
			if err == nil {
				delete(f.unreachable, tip)
				break
			}
		}
	}
	return found
}

// note marks a path that ends where only an unreachable address leads on.
func (f *issuerFetches) note(facts *domainsec.PathFacts, p *FailedPath) {
	if why := f.unreachable[p.Elements[len(p.Elements)-1]]; why != "" && !p.Anchored {
		facts.Incomplete, facts.RevocationDetail = true, why
	}
}
