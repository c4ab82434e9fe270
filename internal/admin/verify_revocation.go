package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/domainsec"
	"mailpact/internal/revocation"
	"mailpact/internal/trust"
)

// PathRevocation shows the CRL checker to trust, which may not import it.
type PathRevocation struct{ Checker *revocation.Checker }

var _ trust.Revocation = PathRevocation{}

// CheckPath asks for every certificate of path but the anchor.
func (p PathRevocation) CheckPath(ctx context.Context, path []*x509.Certificate) trust.PathStatus {
	return pathStatus(p.Checker.CheckPath(ctx, path))
}

// Generation changes whenever an answer may have changed.
func (p PathRevocation) Generation() uint64 { return p.Checker.Generation() }

// pathStatus brings an answer of package revocation into the form of trust.
func pathStatus(s revocation.Status) trust.PathStatus {
	out := trust.PathStatus{Status: s.Status, Detail: s.Detail, ThisUpdate: s.ThisUpdate, ValidUntil: s.ValidUntil}
	for i := range s.Answers {
		out.Checks = append(out.Checks, revocationCheck(&s.Answers[i]))
	}
	return out
}

func revocationCheck(a *revocation.Answer) domainsec.RevocationCheck {
	c := domainsec.RevocationCheck{Status: a.Status, Detail: a.Detail, ThisUpdate: a.ThisUpdate, ValidUntil: a.ValidUntil, Took: a.Took}
	if a.Certificate != nil {
		sum := sha256.Sum256(a.Certificate.Raw)
		c.SHA256 = strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	for _, s := range a.Sources {
		c.Sources = append(c.Sources, domainsec.RevocationSource{
			Kind: s.Kind, Address: s.Where, Issuer: s.Issuer, Number: s.Number, Used: s.Used, Error: s.Fault,
			ThisUpdate: s.ThisUpdate, NextUpdate: s.NextUpdate,
		})
	}
	return c
}

// fileRevocation answers by CRLs from files at a fixed moment.
type fileRevocation struct {
	files *revocation.Files
	now   func() time.Time
}

// CheckPath asks the files about every certificate of path but the anchor.
func (f fileRevocation) CheckPath(_ context.Context, path []*x509.Certificate) trust.PathStatus {
	return pathStatus(f.files.Status(path, f.now()))
}

// Generation is constant: files do not change.
func (fileRevocation) Generation() uint64 { return 0 }

// listsFromFiles parses the CRLs of the request. One that cannot be parsed is
// noted and then missing, which makes nothing more valid.
func (v *verification) listsFromFiles() trust.Revocation {
	var lists []*revocation.List
	for _, f := range v.request.CRLs {
		for _, content := range splitLists(f.Content) {
			l, err := revocation.ParseList(f.Name, content)
			if err != nil {
				v.unusable = append(v.unusable, fmt.Sprintf("%s: the CRL cannot be used: %v", f.Name, err))
				continue
			}
			lists = append(lists, l)
		}
	}
	signers := slices.Concat(v.presented, v.intermediates, v.roots)
	return fileRevocation{files: revocation.NewFiles(lists, signers), now: v.clock}
}

// splitLists returns the CRLs of a file: one in DER, or any number in PEM.
func splitLists(content []byte) [][]byte {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil
	}
	var lists [][]byte
	for rest := content; len(lists) < maxVerifyLists; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		lists = append(lists, block.Bytes)
	}
	if len(lists) == 0 {
		return [][]byte{content}
	}
	return lists
}

// notAsked answers that nobody wants to know.
type notAsked struct{}

func (notAsked) CheckPath(context.Context, []*x509.Certificate) trust.PathStatus {
	return trust.PathStatus{Status: domainsec.RevocationNotRequired}
}

func (notAsked) Generation() uint64 { return 0 }

// revocationSource makes what answers about revocation, and what ends it.
func (v *verification) revocationSource() (trust.Revocation, func(), error) {
	nothing := func() {}
	switch v.mode {
	case RevocationNone:
		return notAsked{}, nothing, nil
	case RevocationFiles:
		return v.listsFromFiles(), nothing, nil
	}
	if v.environment.Revocation != nil {
		v.issuers = v.environment.Issuers
		return v.environment.Revocation, nothing, nil
	}
	var settings directory.Revocation
	servers := dnsx.NewStub(nil, dnsx.StubOptions{})
	if cfg := v.environment.Configuration; cfg != nil {
		settings = cfg.Revocation
		servers = dnsx.NewStub(cfg.Server.Resolvers, dnsx.StubOptions{})
	}
	cache, err := os.MkdirTemp("", "mailpact-verify-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a directory for CRLs: %w", err)
	}
	remove := func() {
		if err := os.RemoveAll(cache); err != nil {
			slog.Default().Warn("removing the directory of fetched CRLs", slog.String("directory", cache), slog.Any("error", err))
		}
	}
	checker, err := revocation.Open(revocation.Options{
		Directory: cache, Settings: settings, Resolver: servers, Now: v.clock,
	})
	if err != nil {
		remove()
		return nil, nil, err
	}
	v.issuers = checker.Issuers()
	return PathRevocation{Checker: checker}, func() { checker.Stop(); remove() }, nil
}
