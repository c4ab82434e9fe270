package directory

import (
	"testing"

	"mailpact/internal/smtp"
)

// Each switch withholds its keyword and no other.
func TestExtensionSwitches(t *testing.T) {
	tests := []struct {
		key, text string
		want      smtp.KeywordSet
	}{
		{"sizeEnabled", "Disabled", smtp.KeywordSIZE},
		{"sizeEnabled", "EnabledWithoutValue", 0},
		{"pipeliningEnabled", "false", smtp.KeywordPIPELINING},
		{"deliveryStatusNotificationEnabled", "false", smtp.KeywordDSN},
		{"enhancedStatusCodesEnabled", "false", smtp.KeywordENHANCEDSTATUSCODES},
		{"eightBitMimeEnabled", "false", smtp.Keyword8BITMIME},
		{"binaryMimeEnabled", "false", smtp.KeywordBINARYMIME},
		{"chunkingEnabled", "false", smtp.KeywordCHUNKING},
		{"smtpUtf8Enabled", "false", smtp.KeywordSMTPUTF8},
		{"smtpUtf8Enabled", "true", 0},
	}
	for _, tt := range tests {
		file := "server: {fqdn: mail1.contoso.com}\nreceiveConnectors: [{name: Inet, bindings: [\"127.0.0.1:2525\"], " + tt.key + ": " + tt.text + "}]\n"
		c, faults := Parse([]byte(file), LoadOptions{File: "x.yaml", Base: t.TempDir(), DefaultDataDirectory: "/data"})
		if len(faults) > 0 {
			t.Errorf("%s: %v", tt.key, faults)
			continue
		}
		rc := c.ReceiveConnectors[0]
		if rc.Withheld != tt.want || rc.SizeWithoutValue != (tt.text == "EnabledWithoutValue") {
			t.Errorf("%s: %s withholds %b", tt.key, tt.text, rc.Withheld)
		}
	}
}
