package server

import (
	"context"
	"errors"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/authority"
	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/trust"
)

// OpenFiles opens the certificates of a server that does not run, for the
// operations that need no server. It keeps servers out of
// the data directory until the function that it returns is called.
func OpenFiles(o ConfigureOptions) (*admin.Service, func() error, error) {
	cfg, err := Configure(o)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := lockDataDirectory(cfg.Server.DataDirectory)
	if err != nil {
		return nil, nil, err
	}
	release := func() error { return unlock(context.Background()) }
	store, err := openCertificates(cfg, time.Now)
	if err == nil {
		err = store.Damage() // what cannot be read would look as if it were not there
	}
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return admin.New(admin.Options{
		Directory: directory.New(cfg), Certificates: storeAlone{store}, Change: o.Origin().Change,
		Authority: authority.NewRegistry(cfg.Authority.Directory, nil), Offline: true, Now: time.Now,
	}), release, nil
}

// storeAlone is a store that no server uses.
type storeAlone struct{ store *certstore.Store }

// Store returns the store.
func (s storeAlone) Store() *certstore.Store { return s.store }

// Change calls fn.
func (s storeAlone) Change(fn func(*certstore.Store) error) error { return fn(s.store) }

// Status knows nothing: nobody has asked for CRLs.
func (s storeAlone) Status(*certstore.Certificate) (trust.PathStatus, bool) {
	return trust.PathStatus{}, false
}
