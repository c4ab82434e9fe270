package receive

import (
	"strings"
	"testing"

	"mailpact/internal/domainsec"
)

func TestEveryKindHasItsAnswer(t *testing.T) {
	for k := kindUnset + 1; k < kindCount; k++ {
		a := answers[k]
		if a.code == 0 || a.text == "" {
			t.Errorf("kind %d has no answer", k)
			continue
		}
		checkAnswer(t, a)
	}
}

func TestEveryReasonHasItsAnswer(t *testing.T) {
	for _, r := range append(domainsec.Reasons(), domainsec.ReasonUnknown) {
		a, ok := reasonAnswers[r]
		if !ok {
			t.Errorf("reason %s has no answer", r)
			continue
		}
		checkAnswer(t, a)
		if a.code/100 == 2 {
			t.Errorf("reason %s is answered %d", r, a.code)
		}
		if a.code/100 == 5 && r != domainsec.FromMismatch {
			t.Errorf("reason %s is answered %d: refusals are 4yz", r, a.code)
		}
	}
	if got, want := len(reasonAnswers), len(domainsec.Reasons())+1; got != want {
		t.Errorf("the table has %d rows for %d reasons", got, want)
	}
}

func checkAnswer(t *testing.T, a answer) {
	t.Helper()
	if int(a.enhanced[0]) != a.code/100 {
		t.Errorf("%d %s: the class digits differ", a.code, a.enhanced)
	}
	if strings.ContainsAny(a.text, "\r\n") || len(a.text) > 300 {
		t.Errorf("%d: text %q does not fit a reply line", a.code, a.text)
	}
	if a.closing != (a.code == 421) {
		t.Errorf("%d closes: %v", a.code, a.closing)
	}
}

func TestRefusalNamesReasonAndSession(t *testing.T) {
	tests := []struct {
		reason domainsec.Reason
		want   string
	}{
		{domainsec.NoTLS, "451 4.7.3 STARTTLS required to send mail from this domain [08C895F533E837EC]"},
		{domainsec.NoOwnCertificate, "454 4.7.0 STARTTLS is required to send mail from this domain and is not available here at the moment [08C895F533E837EC]"},
		{domainsec.EmptyCertificate, "454 4.7.5 Certificate validation failure, Reason:EmptyCertificate [08C895F533E837EC]"},
		{domainsec.UntrustedRoot, "454 4.7.5 Certificate validation failure, Reason:UntrustedRoot [08C895F533E837EC]"},
		{domainsec.CertificateExpired, "454 4.7.5 Certificate validation failure, Reason:CertificateExpired [08C895F533E837EC]"},
		{domainsec.RevocationOffline, "454 4.7.5 Certificate validation failure, Reason:RevocationOffline [08C895F533E837EC]"},
		{domainsec.Reason(250), "451 4.7.0 Sender could not be judged. Please try again later [08C895F533E837EC]"},
	}
	for _, tt := range tests {
		t.Run(tt.reason.String(), func(t *testing.T) {
			if got := refusalFor(tt.reason, "08C895F533E837EC").String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
