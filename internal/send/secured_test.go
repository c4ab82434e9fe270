package send_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/queue"
	"mailpact/internal/trust/pkitest"
)

// outboundRow spoils one thing of a server that is good otherwise; the names
// are the demands of design.md, section 5, "Outbound".
type outboundRow struct {
	name   string
	leaf   pkitest.LeafOptions // zero: mail.woodgrovebank.com
	issuer func(w *world) *pkitest.CA
	spoil  func(w *world, m *manner)
	reason domainsec.Reason
}

func outboundRows() []outboundRow {
	past := time.Now().Add(-time.Hour)
	return []outboundRow{
		{name: "no STARTTLS", spoil: func(_ *world, m *manner) { m.hidden = true }, reason: domainsec.NoTLS},
		{name: "STARTTLS refused", spoil: func(_ *world, m *manner) { m.starttls = "454 4.7.0 TLS not available" }, reason: domainsec.HandshakeFailed},
		{name: "handshake broken", spoil: func(_ *world, m *manner) { m.brokenTLS = true }, reason: domainsec.HandshakeFailed},
		{name: "no certificate request", spoil: func(_ *world, m *manner) { m.tls.ClientAuth = tls.NoClientCert }, reason: domainsec.NotMutual},
		{name: "no certificate request, TLS 1.2", spoil: func(_ *world, m *manner) {
			m.tls.ClientAuth = tls.NoClientCert
			m.tls.MaxVersion = tls.VersionTLS12
		}, reason: domainsec.NotMutual},
		{name: "wrong name", leaf: named("mail.adatum.example"), reason: domainsec.SubjectMismatch},
		{name: "two nodes deep", leaf: named("a.mail.woodgrovebank.com"), reason: domainsec.SubjectMismatch},
		{name: "untrusted", issuer: func(w *world) *pkitest.CA { return pkitest.NewRoot(w.t, pkitest.CAOptions{Name: "Stranger"}) }, reason: domainsec.UntrustedRoot},
		{name: "expired", leaf: pkitest.LeafOptions{Names: []string{"mail.woodgrovebank.com"}, NotBefore: past.Add(-time.Hour), NotAfter: past}, reason: domainsec.CertificateExpired},
		{name: "not yet valid", leaf: pkitest.LeafOptions{Names: []string{"mail.woodgrovebank.com"}, NotBefore: time.Now().Add(time.Hour)}, reason: domainsec.CertificateNotYetValid},
		{name: "revoked", spoil: func(w *world, _ *manner) { w.revocation.set("mail.woodgrovebank.com", domainsec.RevocationRevoked) }, reason: domainsec.Revoked},
		{name: "CRL down", spoil: func(w *world, _ *manner) { w.revocation.set("mail.woodgrovebank.com", domainsec.RevocationUnknown) }, reason: domainsec.RevocationOffline},
		{name: "ours refused in TLS 1.2", spoil: func(_ *world, m *manner) {
			m.tls.ClientAuth = tls.RequireAndVerifyClientCert
			m.tls.MaxVersion = tls.VersionTLS12
		}, reason: domainsec.OwnCertificateRefused},
		{name: "ours refused in TLS 1.3", spoil: func(_ *world, m *manner) { m.tls.ClientAuth = tls.RequireAndVerifyClientCert }, reason: domainsec.OwnCertificateRefused},
		{name: "closed before the second EHLO was answered", spoil: func(_ *world, m *manner) { m.secondEHLO = "close" }, reason: domainsec.OwnCertificateRefused},
		{name: "ours refused by a reply", spoil: func(_ *world, m *manner) { m.secondEHLO = "421 4.7.1 peer Error: Client certificate not trusted" }, reason: domainsec.OwnCertificateRefused},
	}
}

func (r outboundRow) peer(t *testing.T, w *world) *peer {
	t.Helper()
	leaf := r.leaf
	if len(leaf.Names) == 0 {
		leaf = named("mail.woodgrovebank.com")
	}
	ca := w.ca
	if r.issuer != nil {
		ca = r.issuer(w)
	}
	m := manner{tls: serverConfig(ca.Issue(t, leaf))}
	if r.spoil != nil {
		r.spoil(w, &m)
	}
	return newPeer(t, m)
}

func TestListedDomainIsNeverSentInsecurely(t *testing.T) {
	for _, row := range outboundRows() {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			p := row.peer(t, w)
			w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
			got := w.deliver("x@woodgrovebank.com")[0]
			if got.Disposition != queue.Deferred || got.Secured {
				t.Errorf("outcome %s", show([]queue.Outcome{got}))
			}
			if want := "Reason:" + row.reason.String(); !strings.Contains(got.LastError, want) {
				t.Errorf("LastError %q has no %s", got.LastError, want)
			}
			if !strings.HasPrefix(got.LastError, `451 4.4.0 Primary target IP address responded with: "45`) {
				t.Errorf("LastError %q is not wrapped", got.LastError)
			}
			if strings.Contains(p.said(), "MAIL") || strings.Contains(p.said(), "HELO ") {
				t.Errorf("the peer was told %q", p.said())
			}
			if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 1 || p.sessionCount() != 1 {
				t.Errorf("%d session failures counted in %d sessions", n, p.sessionCount())
			}
		})
	}
}

func TestTestModeGoesOn(t *testing.T) {
	for _, row := range outboundRows() {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{mode: directory.ModeTest})
			p := row.peer(t, w)
			w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
			got := w.deliver("x@woodgrovebank.com")[0]
			if got.Disposition != queue.Delivered || got.Secured || len(p.received()) != 1 {
				t.Errorf("outcome %s, %d messages", show([]queue.Outcome{got}), len(p.received()))
			}
			if n := w.counters.Snapshot().WouldHaveFailed[string(partnerA)][row.reason.String()]; n != 1 {
				t.Errorf("would have failed: %v", w.counters.Snapshot().WouldHaveFailed)
			}
		})
	}
}

func TestSecured(t *testing.T) {
	for _, mode := range []directory.Mode{directory.ModeEnforce, directory.ModeTest} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(string(mode)+" "+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t, worldOptions{mode: mode})
				config := w.serverTLS(named("mail.woodgrovebank.com"))
				config.MinVersion, config.MaxVersion = version, version
				p := newPeer(t, manner{tls: config})
				w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
				got := w.deliver("x@woodgrovebank.com", "y@woodgrovebank.com")
				for _, o := range got {
					if o.Disposition != queue.Delivered || !o.Secured {
						t.Fatalf("outcome %s", show(got))
					}
				}
				mails := p.received()
				if len(mails) != 1 || len(mails[0].to) != 2 || mails[0].client == nil || mails[0].client.DNSNames[0] != "mail.contoso.com" {
					t.Fatalf("received %+v", mails)
				}
				if want := "From: <a@contoso.com>\r\nSubject: test\r\n\r\nHello\r\n.dot\r\n"; mails[0].data != want {
					t.Errorf("data %q, want %q", mails[0].data, want)
				}
				s := w.counters.Snapshot()
				if s.DomainSecuredMessagesSent != 1 || s.DomainSecuredOutboundSessionFailures != 0 || len(s.WouldHaveFailed) != 0 {
					t.Errorf("counters %+v", s)
				}
			})
		}
	}
}

func TestOwnCertificateStandsInTheWay(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	tests := []struct {
		name   string
		own    *pkitest.LeafOptions
		spoil  func(w *world)
		reason domainsec.Reason
	}{
		{name: "none with the connector's name", own: &pkitest.LeafOptions{Names: []string{"other.contoso.com"}}, reason: domainsec.NoOwnCertificate},
		{name: "expired", own: &pkitest.LeafOptions{Names: []string{"mail.contoso.com"}, NotBefore: past.Add(-time.Hour), NotAfter: past}, reason: domainsec.OwnCertificateInvalid},
		{name: "revoked", spoil: func(w *world) { w.revocation.set("mail.contoso.com", domainsec.RevocationRevoked) }, reason: domainsec.OwnCertificateInvalid},
		{name: "own CRL unreachable", spoil: func(w *world) { w.revocation.set("mail.contoso.com", domainsec.RevocationUnknown) }, reason: domainsec.OwnRevocationOffline},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{own: tt.own})
			if tt.spoil != nil {
				tt.spoil(w)
			}
			p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
			w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
			got := w.deliver("x@woodgrovebank.com")[0]
			if got.Disposition != queue.Deferred || !strings.Contains(got.LastError, "Reason:"+tt.reason.String()) || p.sessionCount() != 0 {
				t.Errorf("outcome %s, %d sessions", show([]queue.Outcome{got}), p.sessionCount())
			}
		})
	}
}

func TestRevokedOwnCertificateIsNotPresentedToAnybody(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.revocation.set("mail.contoso.com", domainsec.RevocationRevoked)
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.unlisted.example"))})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	if m := p.received(); len(m) != 1 || !m[0].tls || m[0].client != nil {
		t.Errorf("received %+v", m)
	}
}

func TestEachFailedSessionIsCounted(t *testing.T) {
	w := newWorld(t, worldOptions{})
	one, two := newPeer(t, manner{}), newPeer(t, manner{tls: w.serverTLS(named("mail.adatum.example"))})
	w.at(partnerA, one.host("mail1.woodgrovebank.com", 10), two.host("mail2.woodgrovebank.com", 20))
	got := w.deliver("x@woodgrovebank.com")
	if got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, "NoTLS") {
		t.Errorf("outcome %s", show(got))
	}
	if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 2 {
		t.Errorf("%d session failures, want 2", n)
	}
	// A host that nobody reaches had no session that could fail.
	for _, p := range []*peer{one, two} {
		_ = p.listener.Close()
	}
	w.deliver("x@woodgrovebank.com")
	if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 2 {
		t.Errorf("%d session failures, want still 2", n)
	}
}

func TestTestModeWithAConnectorThatCannotSecure(t *testing.T) {
	w := newWorld(t, worldOptions{mode: directory.ModeTest, edit: func(c *directory.Configuration) { c.SendConnectors[0].DomainSecureEnabled = false }})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	got := w.deliver("x@woodgrovebank.com")
	if got[0].Disposition != queue.Delivered || got[0].Secured || w.counters.Snapshot().WouldHaveFailed[string(partnerA)]["ConnectorNotDomainSecure"] != 1 {
		t.Errorf("outcome %s, %v", show(got), w.counters.Snapshot().WouldHaveFailed)
	}
}

func TestNextExchangerAfterInsecureOne(t *testing.T) {
	w := newWorld(t, worldOptions{})
	bad := newPeer(t, manner{})
	good := newPeer(t, manner{tls: w.serverTLS(named("mail2.woodgrovebank.com"))})
	w.at(partnerA, bad.host("mail1.woodgrovebank.com", 10), good.host("mail2.woodgrovebank.com", 20))
	got := w.deliver("x@woodgrovebank.com")[0]
	if got.Disposition != queue.Delivered || !got.Secured || !strings.HasPrefix(got.RemoteHost, "mail2.woodgrovebank.com [127.0.0.1]:") {
		t.Errorf("outcome %s", show([]queue.Outcome{got}))
	}
	if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 1 {
		t.Errorf("%d session failures", n)
	}
}

func TestSessionVerifiedForOneDomainNeverCarriesAnother(t *testing.T) {
	w := newWorld(t, worldOptions{})
	// One host for both partners, with a certificate that is good for both.
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com", "mail.fabrikam.example"))})
	w.at(partnerA, p.host("shared.example", 10))
	w.at(partnerB, p.host("shared.example", 10))
	w.at(stranger, p.host("shared.example", 10))
	for range 2 {
		for _, o := range w.deliver("x@woodgrovebank.com", "y@fabrikam.example", "z@unlisted.example") {
			if o.Disposition != queue.Delivered {
				t.Fatalf("outcome %s", show([]queue.Outcome{o}))
			}
		}
	}
	by := map[int]string{}
	for _, m := range p.received() {
		to := strings.Join(m.to, " ")
		if known, ok := by[m.session]; ok && known != to {
			t.Errorf("session %d carried %s and %s", m.session, known, to)
		}
		by[m.session] = to
	}
	if len(by) != 3 || p.sessionCount() != 3 {
		t.Errorf("%d sessions for %d messages; each domain has one of its own and uses it again", p.sessionCount(), len(p.received()))
	}
}

func TestPooledSessionIsJudgedBeforeEachMessage(t *testing.T) {
	spoils := map[string]func(w *world){
		"revoked meanwhile":  func(w *world) { w.revocation.set("mail.woodgrovebank.com", domainsec.RevocationRevoked) },
		"CRL down meanwhile": func(w *world) { w.revocation.set("mail.woodgrovebank.com", domainsec.RevocationUnknown) },
		"expired meanwhile":  func(w *world) { w.setClock(time.Now().AddDate(0, 0, 89).Add(23*time.Hour + 30*time.Minute)) },
		"ours revoked meanwhile": func(w *world) {
			w.revocation.set("mail.contoso.com", domainsec.RevocationRevoked)
			w.setClock(time.Now().Add(5 * time.Second))
		},
	}
	for name, spoil := range spoils {
		t.Run(name, func(t *testing.T) {
			own := named("mail.contoso.com")
			own.NotAfter = time.Now().AddDate(1, 0, 0)
			w := newWorld(t, worldOptions{own: &own})
			p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
			w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
			if got := w.deliver("x@woodgrovebank.com")[0]; !got.Secured {
				t.Fatalf("outcome %s", show([]queue.Outcome{got}))
			}
			if spoil(w); name == "expired meanwhile" {
				w.setClock(time.Now().AddDate(0, 0, 91))
			}
			got := w.deliver("x@woodgrovebank.com")[0]
			if got.Disposition != queue.Deferred || len(p.received()) != 1 || strings.Count(p.said(), "MAIL") != 1 {
				t.Errorf("outcome %s; the peer was told %q", show([]queue.Outcome{got}), p.said())
			}
		})
	}
}

func TestListingTakesEffectAtOnceAndUnlistingOnResubmission(t *testing.T) {
	w := newWorld(t, worldOptions{})
	plain := newPeer(t, manner{})
	w.at(partnerA, plain.host("mail.woodgrovebank.com", 10))
	w.at(stranger, plain.host("mail.unlisted.example", 10))

	// Queued before the domain was listed.
	d := w.delivery("x@woodgrovebank.com")
	d.Key = queue.Key{DeliveryType: "DnsConnectorDelivery", NextHopDomain: string(partnerA), Connector: "Internet"}
	if got := w.sender.Deliver(t.Context(), d)[0]; got.Disposition != queue.Deferred {
		t.Errorf("listed since: %s", show([]queue.Outcome{got}))
	}
	// Queued while the domain was listed.
	d = w.delivery("x@unlisted.example")
	d.Key = queue.Key{DeliveryType: "DnsConnectorDelivery", NextHopDomain: string(stranger), Connector: "Internet", TLSDomain: stranger}
	if got := w.sender.Deliver(t.Context(), d)[0]; got.Disposition != queue.Deferred || !strings.Contains(got.LastError, "NoTLS") {
		t.Errorf("listed then: %s", show([]queue.Outcome{got}))
	}
	if plain.said() != "EHLO QUIT EHLO QUIT" {
		t.Errorf("the peer was told %q", plain.said())
	}
}

func TestHeldByTheConnector(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].DomainSecureEnabled = false }})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	got := w.deliver("x@woodgrovebank.com")[0]
	if got.Disposition != queue.Deferred || !strings.Contains(got.LastError, "domainSecureEnabled") || p.sessionCount() != 0 {
		t.Errorf("outcome %s", show([]queue.Outcome{got}))
	}
}
