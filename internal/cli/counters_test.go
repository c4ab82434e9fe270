package cli

import (
	"strings"
	"testing"

	"mailpact/internal/admin"
)

func TestCountersShowRefusalsAndTrials(t *testing.T) {
	var b strings.Builder
	if err := writeCounters(&b, admin.Counters{
		DomainSecuredMessagesReceived: 3,
		Refusals:                      map[string]uint64{"Revoked": 2},
		WouldHaveFailed:               map[string]map[string]uint64{"woodgrovebank.com": {"NoTLS": 5}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Domain-Secured Messages Received         : 3\n", "Refusals by reason\n  Revoked                  2\n",
		"In test mode, would have failed for woodgrovebank.com\n  NoTLS                    5\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := writeCounters(&b, admin.Counters{}); err != nil || !strings.Contains(b.String(), "Nothing was refused.") {
		t.Errorf("%v, output:\n%s", err, b.String())
	}
}
