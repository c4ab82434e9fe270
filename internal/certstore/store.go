package certstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/directory"
)

// Options say where certificates lie.
type Options struct {
	// Files are the pairs that the configuration names.
	Files []directory.CertificateFile
	// KeysDirectory holds the self-signed certificates; empty: there are none
	// and none can be made. It is made when it is first needed.
	KeysDirectory string
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Store holds our own certificates. Its methods may be called by many
// goroutines.
type Store struct {
	keysDirectory string
	now           func() time.Time
	mu            sync.Mutex // held while certificates are made
	certificates  atomic.Pointer[[]*Certificate]
	damaged       []*FileError // in the keys directory, passed over
}

// Open reads every certificate. The faults of all configured files come
// together, as FileErrors joined into one error. A damaged pair in the keys
// directory is passed over and shows in Findings: it is our own, and
// EnsureSelfSigned makes another.
func Open(o Options) (*Store, error) {
	s := &Store{keysDirectory: o.KeysDirectory, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var all []*Certificate
	var faults []error
	for _, f := range o.Files {
		c, err := load(f)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, c)
	}
	own, err := s.readKeysDirectory()
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	all = withoutTwins(append(all, stillOf(own, s.now())...))
	s.certificates.Store(&all)
	return s, nil
}

// All returns every certificate, configured ones first, in no order of
// preference. The caller must not change the slice.
func (s *Store) All() []*Certificate { return *s.certificates.Load() }

// stillOf returns those of our self-made certificates that are of use: not
// expired, and not covered in all their names by a newer one.
func stillOf(own []*Certificate, now time.Time) []*Certificate {
	return slices.DeleteFunc(slices.Clone(own), func(c *Certificate) bool {
		return now.After(c.TLS.Leaf.NotAfter) || slices.ContainsFunc(own, func(x *Certificate) bool {
			return x.TLS.Leaf.NotBefore.After(c.TLS.Leaf.NotBefore) && !slices.ContainsFunc(c.Names(), func(n string) bool {
				return !slices.Contains(x.Names(), n)
			})
		})
	})
}

// withoutTwins keeps the first of certificates that stand in several files.
func withoutTwins(all []*Certificate) []*Certificate {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c *Certificate) bool {
		twin := seen[c.SHA256()]
		seen[c.SHA256()] = true
		return twin
	})
}

// The names of the pairs that EnsureSelfSigned makes.
const (
	selfSignedPrefix     = "self-signed-"
	certificateExtension = ".crt"
	keyExtension         = ".key"
)

// readKeysDirectory reads our self-signed pairs. A key without certificate is
// what a crash leaves and is no fault.
func (s *Store) readKeysDirectory() ([]*Certificate, error) {
	if s.keysDirectory == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(s.keysDirectory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the keys directory: %w", err)
	}
	var all []*Certificate
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, selfSignedPrefix) || !strings.HasSuffix(name, certificateExtension) {
			continue
		}
		path := filepath.Join(s.keysDirectory, name)
		c, err := load(directory.CertificateFile{
			CertificateFile: path,
			KeyFile:         strings.TrimSuffix(path, certificateExtension) + keyExtension,
			Services:        []directory.Service{directory.ServiceSMTP},
		})
		var fe *FileError
		switch {
		case errors.As(err, &fe):
			s.damaged = append(s.damaged, fe)
		case err != nil:
			return nil, err
		default:
			all = append(all, c)
		}
	}
	return all, nil
}
