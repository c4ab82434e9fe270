//go:build interop

package interop

import (
	"context"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/revocation"
	"mailpact/internal/trust/pkitest"
	"mailpact/tests/testkit"
)

const (
	slapdHost     = "127.20.0.6"
	tinyproxyHost = "127.20.0.7"
)

// loopback is a resolver for which every name is here.
type loopback struct{}

func (loopback) Addresses(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// ask asks a new checker about a leaf.
func ask(t *testing.T, settings directory.Revocation, leaf, issuer *x509.Certificate) revocation.Status {
	t.Helper()
	settings.AllowPrivateTargets = true
	checker, err := revocation.Open(revocation.Options{Directory: t.TempDir(), Settings: settings, Resolver: loopback{}})
	if err != nil {
		t.Fatal(err)
	}
	defer checker.Stop()
	return checker.CheckPath(t.Context(), []*x509.Certificate{leaf, issuer})
}

// TestCRLFromOpenLDAP: a CRL comes out of a real directory:
//
//	mailpact's checker  --LDAP-->  OpenLDAP on 127.20.0.6
func TestCRLFromOpenLDAP(t *testing.T) {
	ca := pkitest.NewRoot(t, pkitest.CAOptions{})
	revoked := ca.Issue(t, pkitest.LeafOptions{CRLs: []string{"ldap:///cn=root,dc=contoso?certificateRevocationList;binary?base"}})
	address := testkit.StartOpenLDAP(t, slapdHost, "root", ca.CRL(t, pkitest.CRLOptions{Revoked: []*x509.Certificate{revoked.Certificate}}))
	for _, tt := range []struct {
		leaf   *x509.Certificate
		want   domainsec.RevocationStatus
		detail string
	}{
		{revoked.Certificate, domainsec.RevocationRevoked, "revoked"},
		{ca.Issue(t, pkitest.LeafOptions{CRLs: []string{"ldap://" + address + "/cn=root,dc=contoso"}}).Certificate, domainsec.RevocationGood, ""},
		{ca.Issue(t, pkitest.LeafOptions{CRLs: []string{"ldap://" + address + "/cn=other,dc=contoso"}}).Certificate, domainsec.RevocationUnknown, "no such object"},
		{ca.Issue(t, pkitest.LeafOptions{CRLs: []string{"ldap://" + address + "/dc=contoso"}}).Certificate, domainsec.RevocationUnknown, "has no CRL"},
	} {
		got := ask(t, directory.Revocation{LDAPServer: address}, tt.leaf, ca.Certificate)
		if got.Status != tt.want || !strings.Contains(got.Detail, tt.detail) {
			t.Errorf("%+v; want %d, %q", got, tt.want, tt.detail)
		}
	}
}

// TestCRLThroughTinyproxy: a CRL comes through a real HTTP proxy, unless the host
// is on the bypass list:
//
//	mailpact's checker  --HTTP-->  tinyproxy on 127.20.0.7  --HTTP-->  CRL server on 127.0.0.1
func TestCRLThroughTinyproxy(t *testing.T) {
	proxy, log := testkit.StartTinyproxy(t, tinyproxyHost)
	ca := pkitest.NewRoot(t, pkitest.CAOptions{})
	server := pkitest.NewCRLServer(t)
	server.Set("/root.crl", ca.CRL(t, pkitest.CRLOptions{}))
	leaf := ca.Issue(t, pkitest.LeafOptions{CRLs: []string{server.URL("/root.crl")}}).Certificate
	settings := directory.Revocation{Proxy: "http://" + proxy, ProxyBypass: []string{"127.*"}}
	if got := ask(t, settings, leaf, ca.Certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("around the proxy: %+v", got)
	}
	if strings.Contains(log(), "root.crl") {
		t.Errorf("the proxy was asked:\n%s", log())
	}
	settings.ProxyBypass = []string{"<local>"}
	if got := ask(t, settings, leaf, ca.Certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("through the proxy: %+v", got)
	}
	if !strings.Contains(log(), "root.crl") || server.Requests("/root.crl") != 2 {
		t.Errorf("the proxy was not asked:\n%s", log())
	}
	server.SetDown(true)
	if got := ask(t, settings, leaf, ca.Certificate); got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "503") {
		t.Errorf("the server is down: %+v", got)
	}
}
