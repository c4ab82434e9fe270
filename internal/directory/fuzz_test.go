package directory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse holds that whatever a file says, the answer is a valid
// configuration or faults with a place and without control characters.
func FuzzParse(f *testing.F) {
	f.Add([]byte(contractFile))
	f.Add(Sample())
	files, err := filepath.Glob(filepath.Join(badConfigurations, "*.yaml"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, faults := Parse(data, options())
		if (c == nil) == (len(faults) == 0) {
			t.Fatalf("configuration %v with faults %v", c, faults)
		}
		for _, fault := range faults {
			s := fault.String()
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
				t.Errorf("the fault %q would disturb a terminal", s)
			}
			if len(s) > 2000 {
				t.Errorf("the fault has %d octets", len(s))
			}
		}
		if c == nil {
			return
		}
		if again := c.Validate(); len(again) > 0 {
			t.Errorf("the configuration is not valid: %v", again)
		}
		for _, r := range c.ReceiveConnectors {
			if r.FQDN == "" || r.Name == "" || r.MaxMessageSize <= 0 || r.ConnectionTimeout <= 0 {
				t.Errorf("the receive connector is not complete: %+v", r)
			}
		}
		for _, s := range c.SendConnectors {
			if s.FQDN == "" || s.Port == 0 || len(s.AddressSpaces) == 0 {
				t.Errorf("the send connector is not complete: %+v", s)
			}
		}
		c.Findings()
	})
}
