package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/trust"
)

// ownOfTest is a store that no server uses.
type ownOfTest struct{ store *certstore.Store }

func (o ownOfTest) Store() *certstore.Store                      { return o.store }
func (o ownOfTest) Change(fn func(*certstore.Store) error) error { return fn(o.store) }
func (o ownOfTest) Status(*certstore.Certificate) (trust.PathStatus, bool) {
	return trust.PathStatus{}, false
}

func certificateService(t *testing.T, logger *slog.Logger) *Service {
	t.Helper()
	store, err := certstore.Open(certstore.Options{KeysDirectory: filepath.Join(t.TempDir(), "keys")})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Directory: directory.New(&directory.Configuration{
			Server:            directory.Server{FQDN: "mail1.contoso.com"},
			ReceiveConnectors: []directory.ReceiveConnector{{Name: "Inet", FQDN: "mail.contoso.com", AuthMechanism: []directory.AuthMechanism{directory.AuthTLS}}},
			AcceptedDomains:   []directory.AcceptedDomain{{Name: "contoso.com"}},
		}),
		Certificates: ownOfTest{store}, Logger: logger,
	})
}

// TestCertificateNames: what is asked for when little is said.
func TestCertificateNames(t *testing.T) {
	s := certificateService(t, nil)
	ctx := context.Background()
	for _, tt := range []struct {
		name      string
		request   CertificateIssueRequest
		asked     []string // of a request
		certified []string // of a self-signed certificate
	}{
		{"nothing", CertificateIssueRequest{}, []string{"mail1.contoso.com", "mail.contoso.com"}, []string{"mail1.contoso.com", "mail.contoso.com", "contoso.com"}},
		{"accepted domains", CertificateIssueRequest{SubjectName: "CN=mail9.contoso.com", IncludeAcceptedDomains: true}, []string{"mail9.contoso.com", "contoso.com"}, []string{"mail9.contoso.com", "contoso.com"}},
		{"server names", CertificateIssueRequest{DomainNames: []string{"a.example"}, IncludeServerNames: true}, []string{"a.example", "mail1.contoso.com", "mail.contoso.com"}, []string{"a.example", "mail1.contoso.com", "mail.contoso.com"}},
		{"one", CertificateIssueRequest{DomainNames: []string{"a.example"}}, []string{"a.example"}, []string{"a.example"}},
	} {
		r, err := s.CertificateRequest(ctx, tt.request)
		if err != nil || !slices.Equal(r.Names, tt.asked) || r.Status != CertificatePending {
			t.Errorf("%s: a request for %v, %v, want %v", tt.name, r.Names, err, tt.asked)
		}
		c, err := s.CertificateNew(ctx, tt.request)
		if err != nil || !slices.Equal(c.Names, tt.certified) {
			t.Errorf("%s: a certificate for %v, %v, want %v", tt.name, c.Names, err, tt.certified)
		}
	}
	_, err := s.CertificateRequest(ctx, CertificateIssueRequest{Services: []string{"SMTP"}})
	wantKind(t, err, KindInvalid)
}

func wantKind(t *testing.T, err error, kind Kind) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || e.Detail == "" || e.Fix == "" {
		t.Errorf("got %#v, want the kind %s", err, kind)
	}
}

// TestCertificateErrors: each kind of fault has its kind of error.
func TestCertificateErrors(t *testing.T) {
	s := certificateService(t, nil)
	ctx := context.Background()
	c, err := s.CertificateNew(ctx, CertificateIssueRequest{Services: []string{"SMTP"}})
	if err != nil || c.Use != "current" || c.Status != CertificateValid {
		t.Fatalf("%+v, %v", c, err)
	}
	_, err = s.CertificateShow(ctx, CertificateShowRequest{Thumbprint: "0123456789"})
	wantKind(t, err, KindNotFound)
	_, err = s.CertificateShow(ctx, CertificateShowRequest{Thumbprint: "x"})
	wantKind(t, err, KindInvalid)
	_, err = s.CertificateExport(ctx, CertificateExportRequest{Thumbprint: c.Thumbprint, Key: true, Password: "pw"})
	wantKind(t, err, KindConflict)
	_, err = s.CertificateRemove(ctx, CertificateRemoveRequest{Thumbprint: c.Thumbprint})
	wantKind(t, err, KindConflict)
	_, err = s.CertificateImport(ctx, CertificateImportRequest{Data: []byte("x")})
	wantKind(t, err, KindInvalid)
	_, err = s.CertificateEnable(ctx, CertificateEnableRequest{Thumbprint: c.Thumbprint, Services: []string{"UM"}})
	wantKind(t, err, KindInvalid)
	_, err = s.CertificateList(ctx, CertificateListRequest{Domain: "a b"})
	wantKind(t, err, KindInvalid)
	_, err = s.CertificatePartners(ctx, Empty{})
	wantKind(t, err, KindUnavailable)
	_, err = s.CertificateSeal(ctx, Empty{})
	wantKind(t, err, KindConflict)
}

// TestCertificateNextAndNotes: a certificate that begins later is the next one,
// and one whose names nobody uses says so.
func TestCertificateNextAndNotes(t *testing.T) {
	s := certificateService(t, nil)
	ctx := context.Background()
	first, err := s.CertificateNew(ctx, CertificateIssueRequest{Services: []string{"SMTP"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.CertificateNew(ctx, CertificateIssueRequest{Template: first.Thumbprint})
	if err != nil {
		t.Fatal(err)
	}
	if second.Use == "current" {
		t.Errorf("not enabled and in use: %+v", second)
	}
	from := time.Now().Add(time.Hour)
	later, err := s.CertificateEnable(ctx, CertificateEnableRequest{Thumbprint: second.Thumbprint, Services: []string{"SMTP"}, From: &from})
	if err != nil || later.EnabledFrom == nil || len(later.Notes) != 0 {
		t.Errorf("%+v, %v", later, err)
	}
	other, err := s.CertificateNew(ctx, CertificateIssueRequest{DomainNames: []string{"other.example"}})
	if err != nil {
		t.Fatal(err)
	}
	enabled, err := s.CertificateEnable(ctx, CertificateEnableRequest{Thumbprint: other.Thumbprint, Services: []string{"SMTP"}})
	if err != nil || len(enabled.Notes) != 1 || !strings.Contains(enabled.Notes[0], "it is not presented") {
		t.Errorf("notes %v, %v", enabled.Notes, err)
	}
}

// TestSecretsStayInRequests: passwords and keys are in no log, no answer and no
// formatted value.
func TestSecretsStayInRequests(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s := certificateService(t, logger)
	ctx := context.Background()
	c, err := s.CertificateNew(ctx, CertificateIssueRequest{Exportable: true})
	if err != nil {
		t.Fatal(err)
	}
	request := CertificateExportRequest{Thumbprint: c.Thumbprint, Key: true, Password: "open sesame"}
	logger.Info("a request", slog.Any("request", request), slog.Any("password", request.Password))
	exported, err := s.CertificateExport(ctx, request)
	if err != nil || len(exported.Data) == 0 {
		t.Fatal(err)
	}
	_, err = s.CertificateImport(ctx, CertificateImportRequest{Data: exported.Data, Password: "wrong sesame"})
	list, listErr := s.CertificateList(ctx, CertificateListRequest{})
	if listErr != nil {
		t.Fatal(listErr)
	}
	answer, jsonErr := json.Marshal(list)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, verb+"\n", request)
	}
	for _, text := range []string{log.String(), fmt.Sprint(err), string(answer)} {
		if strings.Contains(text, "sesame") || strings.Contains(text, "736573616d65") || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("a secret is told: %s", text)
		}
	}
	if !strings.Contains(log.String(), "exported with its key") {
		t.Error("the export of a key is not logged")
	}
	// The client sends it all the same.
	if body, err := json.Marshal(request); err != nil || !strings.Contains(string(body), "open sesame") {
		t.Errorf("%s, %v", body, err)
	}
}
