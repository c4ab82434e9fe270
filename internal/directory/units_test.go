package directory

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want int64
		err  error
	}{
		{"10MB", 10 << 20, nil},
		{"64 KB", 64 << 10, nil},
		{"1b", 1, nil},
		{"2GB", 2 << 30, nil},
		{"1TB", 1 << 40, nil},
		{"unlimited", Unlimited, nil},
		{"Unlimited", Unlimited, nil},
		{"10", 0, errUnit},
		{"MB", 0, errUnit},
		{"", 0, errUnit},
		{"-1MB", 0, errUnit},
		{"1.5MB", 0, errUnit},
		{"1PB", 0, errUnit},
		{"9223372036854775807B", 0, errRange},
		{"99999999999999999999B", 0, errRange},
		{"8388608TB", 0, errRange},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseSize(tt.text)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v; want %d, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		err  error
	}{
		{"90s", 90 * time.Second, nil},
		{"1m30s", 90 * time.Second, nil},
		{"2d", 48 * time.Hour, nil},
		{"250ms", 250 * time.Millisecond, nil},
		{"1d1h1m1s1ms", 25*time.Hour + time.Minute + time.Second + time.Millisecond, nil},
		{"0", 0, nil},
		{"0s", 0, nil},
		{"unlimited", Unlimited, nil},
		{"", 0, errUnit},
		{"30", 0, errUnit},
		{"-5m", 0, errUnit},
		{"1.5h", 0, errUnit},
		{"1s1m", 0, errUnit},
		{"1m1m", 0, errUnit},
		{"1y", 0, errUnit},
		{"1 m", 0, errUnit},
		{"m", 0, errUnit},
		{"106752d", 0, errRange},
		{"99999999999999999999s", 0, errRange},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseDuration(tt.text)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, Unlimited-1<<10).Draw(t, "octets")
		if got, err := ParseSize(FormatSize(n)); got != n || err != nil {
			t.Fatalf("%d became %q became %d, %v", n, FormatSize(n), got, err)
		}
		d := time.Duration(rapid.Int64Range(0, Unlimited/int64(time.Millisecond)-1).Draw(t, "ms")) * time.Millisecond
		if got, err := ParseDuration(FormatDuration(d)); got != d || err != nil {
			t.Fatalf("%d became %q became %d, %v", d, FormatDuration(d), got, err)
		}
	})
	if FormatSize(Unlimited) != "unlimited" || FormatDuration(Unlimited) != "unlimited" {
		t.Error("unlimited is written otherwise")
	}
}

func TestNearest(t *testing.T) {
	words := []string{"domain", "domainSecureEnabled", "fqdn", "mode", "requireTLS"}
	tests := []struct{ s, want string }{
		{"fqnd", "fqdn"},
		{"FQDN", "fqdn"},
		{"requireTls", "requireTLS"},
		{"domainSecureEnable", "domainSecureEnabled"},
		{"wibble", ""},
		{"", ""},
		{"x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.s, func(t *testing.T) {
			if got := nearest(tt.s, words); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
