package directory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFindings starts from a configuration without a finding and spoils one thing.
func TestFindings(t *testing.T) {
	good := func() *Configuration { return mustParse(t, contractFile) }
	without := func(c *Configuration) { c.Partners[0].NameRule = NameRuleExact }
	type row struct {
		Level  Level
		Object string
	}
	tests := []struct {
		name string
		with func(*Configuration)
		want []row
	}{
		{"good", func(*Configuration) {}, nil},
		{"short name", func(c *Configuration) { c.Server.FQDN = "mail1" }, []row{{LevelWarning, "server.fqdn"}}},
		{"open health", func(c *Configuration) { c.Server.HTTP = "0.0.0.0:9925" }, []row{{LevelWarning, "server.http"}}},
		{"open health, every address", func(c *Configuration) { c.Server.HTTP = ":9925" }, []row{{LevelWarning, "server.http"}}},
		{"idle partner", func(c *Configuration) { c.Partners[0].Send, c.Partners[0].Receive = false, false }, []row{{LevelWarning, "partners[woodgrovebank.com]"}}},
		{"partner is accepted", func(c *Configuration) { c.Partners[0].Domain = "b.example"; c.Trust.Anchors = nil }, []row{{LevelWarning, "partners[b.example]"}}},
		{"stray scope", func(c *Configuration) { c.Trust.Anchors[0].Scope.Domains[0] = "woodgrove.com" }, []row{{LevelWarning, "trust.anchors[/etc/mailpact/woodgrove-root.pem]"}}},
		{"no anchor", func(c *Configuration) { c.Trust.SystemRoots, c.Trust.Anchors = false, nil }, []row{{LevelError, "trust"}}},
		{"nothing accepted", func(c *Configuration) { c.AcceptedDomains = nil }, []row{{LevelWarning, "acceptedDomains"}}},
		{"no hand-off", func(c *Configuration) { c.AcceptedDomains[0].HandOff = "" }, []row{{LevelWarning, "acceptedDomains[contoso.com]"}}},
		{"nobody may submit", func(c *Configuration) {
			c.Partners[0].Receive = false
			c.ReceiveConnectors[0].PermissionGroups = nil
		}, []row{{LevelWarning, "receiveConnectors[Inet]"}}},
		{"partners may not submit", func(c *Configuration) {
			c.ReceiveConnectors[0].PermissionGroups = []PermissionGroup{GroupAnonymousUsers}
		}, []row{{LevelError, "receiveConnectors[Inet]"}}},
		{"TLS from everybody", func(c *Configuration) { c.ReceiveConnectors[0].RequireTLS = true }, []row{{LevelWarning, "receiveConnectors[Inet]"}}},
		{"normalising for everybody", func(c *Configuration) { c.ReceiveConnectors[0].BareLineFeeds = 1 }, []row{{LevelWarning, "receiveConnectors[Inet]"}}},
		{"inner connector on the network", func(c *Configuration) {
			inner := defaultReceiveConnector()
			inner.Name, inner.Bindings = "Inner", []string{"10.0.0.1:26"}
			inner.AuthMechanism = []AuthMechanism{AuthExternalAuthoritative}
			inner.PermissionGroups = []PermissionGroup{GroupExchangeServers}
			c.ReceiveConnectors = append(c.ReceiveConnectors, inner)
		}, []row{{LevelWarning, "receiveConnectors[Inner]"}}},
		{"inner connector with inner clients", func(c *Configuration) {
			inner := defaultReceiveConnector()
			inner.Name, inner.Bindings, inner.RemoteIPRanges = "Inner", []string{"0.0.0.0:26"}, ranges(t, "10.0.0.0/8")
			inner.AuthMechanism = []AuthMechanism{AuthExternalAuthoritative}
			inner.PermissionGroups = []PermissionGroup{GroupExchangeServers}
			c.ReceiveConnectors = append(c.ReceiveConnectors, inner)
		}, nil},
		{"a family that nobody serves", func(c *Configuration) {
			c.ReceiveConnectors[0].Bindings = []string{":25", "0.0.0.0:2525"}
		}, []row{{LevelWarning, "receiveConnectors[Inet]"}}},
		{"a family that another connector serves", func(c *Configuration) {
			six := defaultReceiveConnector()
			six.Name, six.DomainSecureEnabled, six.RemoteIPRanges = "Six", true, ranges(t, "::/0")
			c.ReceiveConnectors[0].Bindings = []string{":25"}
			c.ReceiveConnectors = append(c.ReceiveConnectors, six)
		}, nil},
		{"TLS to everybody", func(c *Configuration) { c.SendConnectors[0].RequireTLS = true }, []row{{LevelWarning, "sendConnectors[Internet]"}}},
		{"in the clear", func(c *Configuration) {
			c.SendConnectors[0].DomainSecureEnabled, c.SendConnectors[0].IgnoreSTARTTLS = false, true
		}, []row{{LevelWarning, "sendConnectors[Internet]"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			without(c)
			tt.with(c)
			if faults := c.Validate(); len(faults) > 0 {
				t.Fatalf("the case is not valid: %v", faults)
			}
			var got []row
			for _, f := range c.Findings() {
				got = append(got, row{f.Level, f.Object})
				if f.Text == "" || f.Fix == "" {
					t.Errorf("%s says too little", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
