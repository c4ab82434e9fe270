package admin

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// ConfigCheckRequest names a configuration file.
type ConfigCheckRequest struct {
	File string `json:"file"`
}

// ConfigCheckResponse is what a check has found.
type ConfigCheckResponse struct {
	Valid    bool              `json:"valid"`
	Faults   []directory.Fault `json:"faults"`
	Findings []Finding         `json:"findings"`
}

// CheckConfiguration checks a configuration file as a server would read it. It
// needs no running server. The error is about the file's being read at all.
func CheckConfiguration(r ConfigCheckRequest) (ConfigCheckResponse, error) {
	response := ConfigCheckResponse{Faults: []directory.Fault{}, Findings: []Finding{}}
	cfg, faults, err := loadConfiguration(r.File)
	if err != nil {
		return response, err
	}
	response.Faults = append(response.Faults, faults...)
	response.Valid = len(faults) == 0
	if response.Valid {
		response.Findings = append(append(response.Findings, ConfigurationFindings(cfg)...), identityFindings(cfg)...)
	}
	return response, nil
}

// loadConfiguration reads a configuration file as a server would. The error is
// about the file's being read at all.
func loadConfiguration(file string) (*directory.Configuration, directory.Faults, error) {
	if err := readable(file); err != nil {
		return nil, nil, err
	}
	cfg, err := Origin(OriginOptions{File: file}).Read()
	var faults directory.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, nil, err
	}
	return cfg, faults, nil
}

// ReadConfiguration returns the valid configuration of a file; one with faults is
// an error that names the first and the command that shows all.
func ReadConfiguration(file string) (*directory.Configuration, error) {
	cfg, faults, err := loadConfiguration(file)
	switch {
	case err != nil:
		return nil, err
	case len(faults) > 0:
		return nil, &Error{Kind: KindInvalid, Object: file, Detail: faults[0].String(), Fix: "mailpact config check " + file}
	}
	return cfg, nil
}

// readable reports why a file cannot be read, which is another matter than what
// stands in it.
func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return fmt.Errorf("%s: it is a directory, not a file", file)
	}
	return nil
}

// CheckFiles looks into the certificates, keys and anchors that a configuration
// names, as the server that uses them will. It is directory.LoadOptions.Check.
func CheckFiles(cfg *directory.Configuration) directory.Faults {
	return slices.Concat(certstore.CheckSeal(cfg.Server.KeySealFile), certstore.Check(cfg.Certificates), trust.Check(cfg.Trust),
		checkAccounts(cfg.Server.AccountsFile))
}

// identityFindings returns what is unwise about the certificates and anchors of
// a valid configuration. Without certificates a server makes its own, of which
// nothing is known before it starts.
func identityFindings(cfg *directory.Configuration) []Finding {
	var out []Finding
	if len(cfg.Certificates) > 0 {
		if store, err := certstore.Open(certstore.Options{Files: cfg.Certificates}); err == nil {
			out = append(out, store.Findings(cfg.CertificateNames(), len(cfg.Partners) > 0)...)
		}
	}
	if v, err := trust.New(trust.Options{Config: cfg.Trust}); err == nil {
		out = append(out, v.Findings(cfg.Partners)...)
	}
	return out // a file that cannot be read is a fault, and CheckFiles has said so
}

// ConfigurationFindings returns what is unwise in a valid configuration.
func ConfigurationFindings(cfg *directory.Configuration) []Finding {
	return append(cfg.Findings(), domainsec.Findings(cfg)...)
}

// SampleConfiguration returns a commented file to start from.
func SampleConfiguration() []byte { return directory.Sample() }
