package directory

import (
	"strings"
	"testing"
)

func TestParseHandOff(t *testing.T) {
	tests := map[string]string{
		"smtp://127.0.0.1:2601":                    "127.0.0.1:2601",
		"smtp://mail.contoso.com":                  "mail.contoso.com:25",
		"smtp://[::1]:2525/":                       "[::1]:2525",
		"lmtp://127.0.0.1:2424":                    "lmtp://127.0.0.1:2424",
		"lmtp://Box.contoso.com":                   "lmtp://box.contoso.com:24",
		"lmtp://[2001:db8::1]":                     "lmtp://[2001:db8::1]:24",
		"lmtp+unix:///run/dovecot/lmtp":            "lmtp+unix:///run/dovecot/lmtp",
		"lmtp+unix:///run/with%20space":            "lmtp+unix:///run/with space",
		"lmtp+unix:///" + strings.Repeat("x", 106): "lmtp+unix:///" + strings.Repeat("x", 106),
		"lmtp+unix:///" + strings.Repeat("x", 107): "",
		"lmtp://127.0.0.1:25":                      "",
		"lmtp+unix:run/lmtp":                       "",
		"lmtp+unix://run/lmtp":                     "",
		"lmtp+unix:///":                            "",
		"lmtp+unix:///run/lmtp/":                   "",
		"lmtps://127.0.0.1:24":                     "",
	}
	for in, want := range tests {
		if got, err := parseHandOff(in); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
}
