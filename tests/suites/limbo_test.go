package suites

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
)

// limboCase is a case of x509-limbo, as far as it is used here.
type limboCase struct {
	ID               string     `json:"id"`
	Features         []string   `json:"features"`
	ValidationKind   string     `json:"validation_kind"`
	Trusted          []string   `json:"trusted_certs"`
	Intermediates    []string   `json:"untrusted_intermediates"`
	Peer             string     `json:"peer_certificate"`
	Time             *time.Time `json:"validation_time"`
	ExtendedKeyUsage []string   `json:"extended_key_usage"`
	Expected         string     `json:"expected_result"`
	PeerName         *limboName `json:"expected_peer_name"`
	CRLs             []string   `json:"crls"`
}

type limboName struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func TestLimbo(t *testing.T) {
	file := os.Getenv("MAILPACT_LIMBO")
	if file == "" {
		t.Skip("MAILPACT_LIMBO names no limbo.json of x509-limbo")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []limboCase `json:"testcases"`
	}
	if err := json.Unmarshal(content, &suite); err != nil {
		t.Fatal(err)
	}
	var cases []Case
	for i := range suite.Cases {
		cases = append(cases, suite.Cases[i].question())
	}
	r := Run(t.Context(), cases)
	t.Logf("x509-limbo: %s", r)
	checkReport(t, r)
}

func (l *limboCase) question() Case {
	category, _, _ := strings.Cut(l.ID, "::")
	c := Case{Name: l.ID, Category: category, Valid: l.Expected == "SUCCESS"}
	if len(l.Features) > 0 {
		c.Name += " (" + strings.Join(l.Features, ", ") + ")"
	}
	c.Request = admin.CertificateVerifyRequest{
		Certificate: admin.File{Name: "leaf.pem", Content: []byte(l.Peer)},
		Purpose:     admin.PurposeServer,
		Revocation:  admin.RevocationNone,
	}
	if l.ValidationKind == "CLIENT" {
		c.Request.Purpose = admin.PurposeClient
	}
	for _, pem := range l.Trusted {
		c.Request.Roots = append(c.Request.Roots, admin.File{Name: "root.pem", Content: []byte(pem)})
	}
	for _, pem := range l.Intermediates {
		c.Request.Intermediates = append(c.Request.Intermediates, admin.File{Name: "intermediate.pem", Content: []byte(pem)})
	}
	for _, pem := range l.CRLs {
		c.Request.Revocation = admin.RevocationFiles
		c.Request.CRLs = append(c.Request.CRLs, admin.File{Name: "list.crl", Content: []byte(pem)})
	}
	if l.Time != nil {
		c.Request.Time = *l.Time
	}
	if l.PeerName != nil && l.PeerName.Kind != "RFC822" {
		c.Request.Host = l.PeerName.Value
	}
	return c
}
