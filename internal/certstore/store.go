package certstore

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/directory"
)

// Options say where certificates lie.
type Options struct {
	// Files are the pairs that the configuration names.
	Files []directory.CertificateFile
	// KeysDirectory holds the certificates, keys and requests made here or
	// imported; empty: there are none and none can be made. It is made when it
	// is first needed.
	KeysDirectory string
	// Seal closes the keys in KeysDirectory; nil: they are written plain. Plain
	// ones are read in any case.
	Seal *Seal
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Store holds our own certificates. Its methods may be called by many
// goroutines. Two Stores of one directory see each other's changes only when
// they are opened, so that only one may change it.
type Store struct {
	keysDirectory string
	seal          *Seal
	now           func() time.Time
	configured    []*Certificate // those that the configuration names
	mu            sync.Mutex     // held while files in the keys directory change
	current       atomic.Pointer[shelf]
}

// shelf is what a Store holds at one moment. It is immutable.
type shelf struct {
	certificates []*Certificate
	pending      []*Pending
	damaged      []*FileError // in the keys directory, passed over
}

// Open reads every certificate. The faults of all configured files come
// together, as FileErrors joined into one error. A damaged pair in the keys
// directory is passed over and shows in Findings: one bad file must not keep
// the others from being used.
func Open(o Options) (*Store, error) {
	s := &Store{keysDirectory: o.KeysDirectory, seal: o.Seal, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var faults []error
	for _, f := range o.Files {
		c, err := load(f, nil)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s.configured = append(s.configured, c)
	}
	if err := s.refresh(); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return s, nil
}

// All returns every certificate, configured ones first, in no order of
// preference. The caller must not change the slice.
func (s *Store) All() []*Certificate { return s.current.Load().certificates }

// Pending returns the requests that wait for their answers, in the order in
// which they were made. The caller must not change the slice.
func (s *Store) Pending() []*Pending { return s.current.Load().pending }

// Damage returns what in the keys directory cannot be read, as FileErrors joined
// into one error, or nil.
func (s *Store) Damage() error {
	var errs []error
	for _, d := range s.current.Load().damaged {
		errs = append(errs, d)
	}
	return errors.Join(errs...)
}

// refresh reads the keys directory and puts on the shelf what it holds.
func (s *Store) refresh() error {
	next, err := s.readKeysDirectory()
	if err != nil {
		return err
	}
	next.certificates = withoutTwins(append(slices.Clone(s.configured), stillOf(next.certificates, s.now())...))
	s.current.Store(next)
	return nil
}

// stillOf returns own without those of EnsureSelfSigned that are of no use any
// more: expired, or covered in all their names by a newer one of its making.
func stillOf(own []*Certificate, now time.Time) []*Certificate {
	return slices.DeleteFunc(slices.Clone(own), func(c *Certificate) bool {
		if !c.automatic {
			return false
		}
		return now.After(c.TLS.Leaf.NotAfter) || slices.ContainsFunc(own, func(x *Certificate) bool {
			return x.automatic && x.TLS.Leaf.NotBefore.After(c.TLS.Leaf.NotBefore) && !slices.ContainsFunc(c.Names(), func(n string) bool {
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
