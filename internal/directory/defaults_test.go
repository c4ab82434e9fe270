package directory

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
)

// TestEdgeDefaults holds the defaults against the reference's tables of
// connector properties and retries, Edge column.
func TestEdgeDefaults(t *testing.T) {
	r, s, q := defaultReceiveConnector(), defaultSendConnector(), defaults(DefaultOptions{}).Queue
	r.deriveSourceLimits()
	tests := []struct {
		name      string
		got, want any
	}{
		{"RemoteIPRanges", fmt.Sprint(r.RemoteIPRanges), "[0.0.0.0/0 ::/0]"},
		{"MaxInboundConnectionPerSource", r.MaxInboundConnectionPerSource, int64(20)},
		{"MaxInboundConnectionPercentagePerSource", r.MaxInboundConnectionPercentagePerSource, int64(2)},
		{"MessageRateLimit", r.MessageRateLimit, int64(600)},
		{"TarpitInterval", r.TarpitInterval, 5 * time.Second},
		{"ConnectionTimeout", r.ConnectionTimeout, 5 * time.Minute},
		{"ConnectionInactivityTimeout", r.ConnectionInactivityTimeout, time.Minute},
		{"MaxInboundConnection", r.MaxInboundConnection, int64(5000)},
		{"MaxMessageSize", r.MaxMessageSize, int64(10 << 20)},
		{"MaxHeaderSize", r.MaxHeaderSize, int64(64 << 10)},
		{"MaxRecipientsPerMessage", r.MaxRecipientsPerMessage, int64(200)},
		{"MaxHopCount", r.MaxHopCount, int64(30)},
		{"MaxProtocolErrors", r.MaxProtocolErrors, int64(5)},
		{"RequireTLS", r.RequireTLS, false},
		{"DomainSecureEnabled", r.DomainSecureEnabled, false},
		{"ProtocolLoggingLevel", r.ProtocolLoggingLevel, LoggingNone},
		{"AuthMechanism", r.AuthMechanism, []AuthMechanism{AuthTLS}},
		{"send Port", s.Port, 25},
		{"send Enabled", s.Enabled, true},
		{"send DNSRoutingEnabled", s.DNSRoutingEnabled, true},
		{"send DomainSecureEnabled", s.DomainSecureEnabled, false},
		{"send RequireTLS", s.RequireTLS, false},
		{"send IgnoreSTARTTLS", s.IgnoreSTARTTLS, false},
		{"send ForceHELO", s.ForceHELO, false},
		{"send ConnectionInactivityTimeOut", s.ConnectionInactivityTimeout, 10 * time.Minute},
		{"send MaxMessageSize", s.MaxMessageSize, int64(10 << 20)},
		{"send SmtpMaxMessagesPerConnection", s.SMTPMaxMessagesPerConnection, int64(20)},
		{"glitch tries", q.GlitchRetryCount, 4},
		{"glitch interval", q.GlitchRetryInterval, time.Minute},
		{"transient tries", q.TransientRetryCount, 6},
		{"transient interval", q.TransientRetryInterval, 10 * time.Minute},
		{"retry interval", q.RetryInterval, 30 * time.Minute},
		{"delay notification", q.DelayNotification, 4 * time.Hour},
		{"expiration", q.Expiration, 48 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	c, err := Default(DefaultOptions{Hostname: "Mail1.Contoso.com", DataDirectory: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.FQDN != "mail1.contoso.com" || c.Server.AdminSocket != "/data/admin.sock" {
		t.Errorf("server %+v", c.Server)
	}
	r, s := c.ReceiveConnectors[0], c.SendConnectors[0]
	if r.FQDN != "mail1.contoso.com" || !r.DomainSecureEnabled || r.Bindings[0] != ":25" {
		t.Errorf("receive connector %+v", r)
	}
	if s.FQDN != "mail1.contoso.com" || !s.DomainSecureEnabled || !s.AddressSpaces[0].Any {
		t.Errorf("send connector %+v", s)
	}
	if len(c.AcceptedDomains)+len(c.Partners) != 0 {
		t.Error("somebody is accepted by default")
	}
	if got := c.TransportConfig.Postmaster; got != (smtp.Mailbox{LocalPart: "postmaster", Domain: "mail1.contoso.com"}) {
		t.Errorf("postmaster %v", got)
	}

	c, err = Default(DefaultOptions{Hostname: "???", DataDirectory: "/data", Listen: "127.0.0.1:2525"})
	if err != nil || c.Server.FQDN != "localhost" || c.ReceiveConnectors[0].Bindings[0] != "127.0.0.1:2525" {
		t.Errorf("without a hostname: %+v, %v", c, err)
	}
	if _, err = Default(DefaultOptions{DataDirectory: "/data", Listen: "2525"}); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("bad listen address: %v", err)
	}
	if _, err = Default(DefaultOptions{}); err == nil {
		t.Error("no data directory was accepted")
	}
}

// TestDefaultsAreOwn holds that two configurations share no slice.
func TestDefaultsAreOwn(t *testing.T) {
	a, b := mustParse(t, ""), mustParse(t, "")
	a.ReceiveConnectors[0].Bindings[0] = "changed"
	if b.ReceiveConnectors[0].Bindings[0] == "changed" {
		t.Error("two configurations share their defaults")
	}
}

func TestDefaultDataDirectory(t *testing.T) {
	tests := []struct {
		name string
		uid  int
		env  map[string]string
		want string
	}{
		{"root", 0, map[string]string{"XDG_STATE_HOME": "/x"}, "/var/lib/mailpact"},
		{"state home", 1000, map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/home/a"}, "/x/mailpact"},
		{"relative state home", 1000, map[string]string{"XDG_STATE_HOME": "x", "HOME": "/home/a"}, "/home/a/.local/state/mailpact"},
		{"home", 1000, map[string]string{"HOME": "/home/a"}, "/home/a/.local/state/mailpact"},
		{"nothing", 1000, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DefaultDataDirectory(tt.uid, func(k string) string { return tt.env[k] }); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSecureDomainLists(t *testing.T) {
	c := mustParse(t, `partners:
- {domain: both.example}
- {domain: send.example, receive: false}
- {domain: receive.example, send: false}
- {domain: test.example, mode: test}
`)
	if diff := cmp.Diff([]smtp.Domain{"both.example", "send.example"}, c.TLSSendDomainSecureList()); diff != "" {
		t.Errorf("send list:\n%s", diff)
	}
	if diff := cmp.Diff([]smtp.Domain{"both.example", "receive.example"}, c.TLSReceiveDomainSecureList()); diff != "" {
		t.Errorf("receive list:\n%s", diff)
	}
	if c.Partner("test.example") == nil || c.Partner("other.example") != nil {
		t.Error("Partner finds the wrong ones")
	}
}

func TestDeadline(t *testing.T) {
	now := time.Unix(1000, 0)
	if !Deadline(now, Unlimited).IsZero() || !Deadline(now, time.Second).Equal(now.Add(time.Second)) {
		t.Error("Deadline is wrong")
	}
	if Unlimited != math.MaxInt64 {
		t.Error("Unlimited does not exceed everything")
	}
}

func TestDirectory(t *testing.T) {
	d := New(&Configuration{})
	const writers, rounds = 4, 100
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range rounds {
				c := &Configuration{}
				v := d.Replace(c)
				if s := d.Snapshot(); s.Version < v || s.Configuration == nil {
					t.Errorf("version %d after %d", s.Version, v)
				}
			}
		})
	}
	wg.Wait()
	if got := d.Version(); got != 1+writers*rounds {
		t.Errorf("version %d", got)
	}
	last := &Configuration{}
	d.Replace(last)
	if d.Current() != last {
		t.Error("the last configuration is not in force")
	}
}
