package server

import (
	"context"
	"errors"
	"fmt"

	"mailpact/internal/accounts"
)

// readAccounts reads the accounts file; "" is none.
func readAccounts(file string) (*accounts.Accounts, error) {
	if file == "" {
		return nil, nil
	}
	a, faults := accounts.Load(file)
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("%s: %w", file, f)
	}
	return a, errors.Join(errs...)
}

// liveAccounts answers from the accounts in force, which a reload replaces.
type liveAccounts struct {
	identity *liveIdentity
	desk     *accounts.Desk
}

// CheckAccount reports whether the password is that of the account called name.
func (l *liveAccounts) CheckAccount(ctx context.Context, name, password string) (string, bool, error) {
	return l.desk.Check(ctx, l.identity.current.Load().accounts, name, password)
}
