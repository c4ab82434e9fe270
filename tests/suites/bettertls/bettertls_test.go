// Package bettertls runs Netflix's BetterTLS through what 'mailpact cert verify'
// calls. It is a module of its own, so that the product does not depend on it.
package bettertls

import (
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/Netflix/bettertls/test-suites/certutil"
	"github.com/Netflix/bettertls/test-suites/nameconstraints"
	"github.com/Netflix/bettertls/test-suites/pathbuilding"
	testcase "github.com/Netflix/bettertls/test-suites/test-case"

	"mailpact/internal/admin"
	"mailpact/tests/suites"
)

func TestBetterTLS(t *testing.T) {
	root, key, err := certutil.GenerateSelfSignedCert("bettertls_trust_root")
	if err != nil {
		t.Fatal(err)
	}
	anchor := admin.File{Name: "root.pem", Content: toPEM(root.Raw)}
	for _, provider := range []testcase.TestCaseProvider{nameconstraints.NewTestCaseProvider(), pathbuilding.NewTestCaseProvider()} {
		t.Run(provider.Name(), func(t *testing.T) {
			count, err := provider.GetTestCaseCount()
			if err != nil {
				t.Fatal(err)
			}
			total := suites.NewReport()
			var soft int
			for i := range count {
				one, err := provider.GetTestCase(i)
				if err != nil {
					t.Fatal(err)
				}
				chain, err := one.GetCertificates(root, key)
				if err != nil {
					t.Fatal(err)
				}
				c := suites.Case{
					Name: fmt.Sprintf("%s %d", provider.Name(), i), Category: provider.Name(),
					Request: admin.CertificateVerifyRequest{
						Certificate: admin.File{Name: "chain.pem", Content: toPEM(chain.Certificate...)},
						Roots:       []admin.File{anchor}, Host: one.GetHostname(),
						Purpose: admin.PurposeServer, Revocation: admin.RevocationNone,
					},
				}
				switch one.ExpectedResult() {
				case testcase.EXPECTED_RESULT_PASS:
					c.Valid = true
				case testcase.EXPECTED_RESULT_SOFT_PASS:
					soft++ // the suite would let the other answer pass, too
					c.Valid = true
				case testcase.EXPECTED_RESULT_SOFT_FAIL:
					soft++
				}
				total.Ask(t.Context(), &c)
			}
			t.Logf("%s; of them either answer would do for %d", total, soft)
			for _, w := range total.Wrong {
				t.Errorf("%s: %s", w.Word, w.Name)
			}
			for _, e := range total.Excessive {
				t.Errorf("takes too much: %s", e)
			}
		})
	}
}

func toPEM(certificates ...[]byte) []byte {
	var all []byte
	for _, der := range certificates {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return all
}
