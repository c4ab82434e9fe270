package directory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// The names of what operations own below the data directory.
const (
	overlayFile     = "directory.yaml"
	overlayLock     = "directory.lock"
	overlayTrusted  = "anchors"
	overlayPreamble = "# Written by mailpact. What stands here counts beside the configuration file; the\n" +
		"# commands that change it read, check and replace it as a whole.\n"
)

// OverlayPath returns the file below a data directory that holds what
// operations have changed.
func OverlayPath(dataDirectory string) string { return filepath.Join(dataDirectory, overlayFile) }

// Entry is one object of the overlay: the keys of the configuration file that
// are written, with their values as text, numbers, booleans or lists. Keys that
// are missing have their defaults.
type Entry map[string]any

// Overlay is the part of the configuration that management operations own. It
// has the keys of the configuration file, of those sections only that it has
// fields for, and counts beside that file. The zero value adds nothing.
type Overlay struct {
	// Version counts the changes; 0 is an overlay that was never written.
	Version uint64 `yaml:"version"`
	// Partners, like those of the file. A domain stands in one of the two places.
	Partners []Entry `yaml:"partners,omitempty"`
	// Trust holds anchors and intermediates beside those of the file.
	Trust OverlayTrust `yaml:"trust,omitempty"`
	// Revocation holds single keys of that section. A key stands in one of the
	// two places.
	Revocation Entry `yaml:"revocation,omitempty"`
	// Bundles are the partner bundles that were imported.
	Bundles []BundleSource `yaml:"bundles,omitempty"`

	// certificates are the contents of files that the change wants written.
	certificates map[string][]byte
}

// OverlayTrust is the trust section of an Overlay.
type OverlayTrust struct {
	Anchors       []Entry `yaml:"anchors,omitempty"`
	Intermediates []Entry `yaml:"intermediates,omitempty"`
}

// BundleSource remembers whose partner bundle was imported, so that the next one
// must come from the same signer.
type BundleSource struct {
	Signer       string   `yaml:"signer"`       // SHA-256 of the signer's public key, hex
	Organization string   `yaml:"organization"` // as the bundle called itself
	Sequence     uint64   `yaml:"sequence"`     // of the bundle; only grows
	Domains      []string `yaml:"domains"`      // the partners that it made
	Anchors      []string `yaml:"anchors"`      // the files under trust.anchors that it made
}

// AddCertificates has the change write a PEM file below the data directory and
// returns the name for an entry's file. Equal content has an equal name.
func (o *Overlay) AddCertificates(pem []byte) (file string) {
	sum := sha256.Sum256(pem)
	file = filepath.Join(overlayTrusted, hex.EncodeToString(sum[:])+".pem")
	if o.certificates == nil {
		o.certificates = map[string][]byte{}
	}
	o.certificates[file] = bytes.Clone(pem)
	return file
}

// ReadOverlay reads the overlay of a data directory as it stands there. One
// that is not there is the zero value.
func ReadOverlay(dataDirectory string) (*Overlay, error) {
	data, err := readBounded(OverlayPath(dataDirectory))
	if errors.Is(err, os.ErrNotExist) {
		return &Overlay{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", OverlayPath(dataDirectory), err)
	}
	o, err := parseOverlay(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", OverlayPath(dataDirectory), err)
	}
	return o, nil
}

func parseOverlay(data []byte) (*Overlay, error) {
	// The limits of the file hold here as well: aliases that multiply, say.
	if _, faults := parseYAML(data); len(faults) > 0 {
		return nil, faults
	}
	o := &Overlay{}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(o); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s", printable(err.Error()))
	}
	return o, nil
}

// encode returns the overlay as the text of its file.
func (o *Overlay) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(overlayPreamble)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(o), e.Close()); err != nil {
		return nil, fmt.Errorf("writing the overlay: %w", err)
	}
	if b.Len() > MaxFileBytes {
		return nil, fmt.Errorf("the overlay would have %d octets; %d is the limit", b.Len(), MaxFileBytes)
	}
	return b.Bytes(), nil
}

// files returns the names of the certificate files that the overlay refers to.
func (o *Overlay) files() map[string]bool {
	out := map[string]bool{}
	for _, list := range [][]Entry{o.Trust.Anchors, o.Trust.Intermediates} {
		for _, e := range list {
			if name, ok := e["file"].(string); ok {
				out[name] = true
			}
		}
	}
	return out
}
