package trust

import (
	"crypto/x509"
	"fmt"

	"mailpact/internal/directory"
)

// Check reads the files that the settings name and returns what is wrong with
// them, as faults of the configuration. New refuses exactly what has a fault.
func Check(settings directory.Trust) directory.Faults {
	s := newStore()
	var faults directory.Faults
	fault := func(path, file string, err error) {
		if err != nil {
			faults = append(faults, directory.Fault{
				Path: path, Problem: fmt.Sprintf("%s: %v", file, err), Mend: "Correct the file, or take it out of trust",
			})
		}
	}
	for i, a := range settings.Anchors {
		fault(fmt.Sprintf("trust.anchors[%d].file", i), a.File, s.loadAnchors(a))
	}
	for i, m := range settings.Intermediates {
		fault(fmt.Sprintf("trust.intermediates[%d].file", i), m.File, s.loadIntermediates(m))
	}
	return faults
}

// ReadCertificates returns the certificates of a PEM file that the settings name.
func ReadCertificates(path string) ([]*x509.Certificate, error) { return readCertificates(path) }
