package suites

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
)

// pkitsVector is a case of PKITS as the Go distribution writes it.
type pkitsVector struct {
	Name                        string
	CertPath, CRLPath           []string
	ShouldValidate              bool
	InitialPolicySet            []string
	InitialPolicyMappingInhibit bool
	InitialExplicitPolicy       bool
	InitialAnyPolicyInhibit     bool
}

// pkitsCategories are the sections of the PKITS document.
func pkitsCategories() map[string]string {
	return map[string]string{
		"4.1": "4.01 signatures", "4.2": "4.02 validity periods", "4.3": "4.03 name chaining", "4.4": "4.04 basic revocation",
		"4.5": "4.05 key rollover", "4.6": "4.06 basic constraints", "4.7": "4.07 key usage", "4.8": "4.08 policies",
		"4.9": "4.09 require explicit policy", "4.10": "4.10 policy mappings", "4.11": "4.11 inhibit policy mapping",
		"4.12": "4.12 inhibit any policy", "4.13": "4.13 name constraints", "4.14": "4.14 distribution points",
		"4.15": "4.15 delta CRLs", "4.16": "4.16 private extensions",
	}
}

// invalidByCRL are cases outside sections 4.4, 4.14 and 4.15 in which only a CRL
// makes the path invalid.
func invalidByCRL(name string) bool {
	section, _, _ := strings.Cut(name, " ")
	for _, prefix := range []string{"4.4.", "4.14.", "4.15."} {
		if strings.HasPrefix(section, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"4.5.2", "4.5.5", "4.5.7", "4.5.8", "4.7.4", "4.7.5", "4.1.5"}, section)
}

func TestPKITS(t *testing.T) {
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("asking go for its root: %v", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(root)), "src/crypto/x509/testdata/nist-pkits")
	vectors, err := os.ReadFile(filepath.Join(folder, "vectors.json"))
	if err != nil {
		t.Skipf("the Go distribution has no PKITS here: %v", err)
	}
	var all []pkitsVector
	if err := json.Unmarshal(vectors, &all); err != nil {
		t.Fatal(err)
	}
	crls := os.Getenv("MAILPACT_PKITS_CRLS")
	var cases []Case
	for _, v := range all {
		if crls == "" && !v.ShouldValidate && invalidByCRL(v.Name) {
			continue
		}
		cases = append(cases, pkitsCase(t, v, filepath.Join(folder, "certs"), crls))
	}
	r := Run(t.Context(), cases)
	t.Logf("PKITS, CRLs from %q: %s", crls, r)
	checkReport(t, r)
	for _, w := range r.Wrong {
		if w.Word == accepted {
			t.Errorf("accepted: %s", w.Name) // there is no choice in that
		}
	}
}

func pkitsCase(t *testing.T, v pkitsVector, certs, crls string) Case {
	t.Helper()
	section := regexp.MustCompile(`^4\.\d+`).FindString(v.Name)
	c := Case{Name: v.Name, Category: pkitsCategories()[section], Valid: v.ShouldValidate}
	c.Request = admin.CertificateVerifyRequest{
		// The root ends the path in PKITS's own order.
		Roots:       []admin.File{readFile(t, certs, v.CertPath[0])},
		Certificate: readFile(t, certs, v.CertPath[len(v.CertPath)-1]),
		Revocation:  admin.RevocationNone,
		Time:        time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, name := range v.CertPath[1 : len(v.CertPath)-1] {
		c.Request.Intermediates = append(c.Request.Intermediates, readFile(t, certs, name))
	}
	if crls != "" {
		c.Request.Revocation = admin.RevocationFiles
		for _, name := range v.CRLPath {
			c.Request.CRLs = append(c.Request.CRLs, readFile(t, crls, name))
		}
	}
	for _, p := range v.InitialPolicySet {
		if p != "anyPolicy" {
			c.Request.Policies = append(c.Request.Policies, "2.16.840.1.101.3.2.1.48."+strings.TrimPrefix(p, "NIST-test-policy-"))
		}
	}
	c.Request.ExplicitPolicy = v.InitialExplicitPolicy
	c.Request.InhibitPolicyMapping = v.InitialPolicyMappingInhibit
	c.Request.InhibitAnyPolicy = v.InitialAnyPolicyInhibit
	return c
}

func readFile(t *testing.T, folder, name string) admin.File {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return admin.File{Name: name, Content: content}
}

// checkReport fails the test for each answer that is neither the expected one nor
// a choice, and for what takes too much.
func checkReport(t *testing.T, r *Report) {
	t.Helper()
	for _, w := range r.Wrong {
		if !chosen(w.Name) {
			t.Errorf("%s: %s %s", w.Word, w.Name, w.Got)
		}
	}
	for _, e := range r.Excessive {
		t.Errorf("takes too much: %s", e)
	}
}
