package accounts

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// ErrBusy says that too many passwords are being checked. It says nothing about
// this one.
var ErrBusy = errors.New("too many passwords are being checked")

// patience is how long a check waits for its turn.
const patience = 5 * time.Second

// Accounts are the accounts of one file. The zero value and nil know nobody. It
// never changes and is safe for concurrent use.
type Accounts struct {
	hashes map[string]hash // by folded name
	nobody hash            // what an unknown name's password is compared with
}

func newAccounts() *Accounts {
	return &Accounts{hashes: make(map[string]hash), nobody: newHash("")}
}

// Len returns how many there are.
func (a *Accounts) Len() int {
	if a == nil {
		return 0
	}
	return len(a.hashes)
}

// Desk checks passwords, a few at a time. Make one with NewDesk; it outlives
// the Accounts that it is asked about and is safe for concurrent use.
type Desk struct {
	places chan struct{}
}

// NewDesk returns a Desk that uses at most half of the processors, and one.
func NewDesk() *Desk {
	return &Desk{places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Check reports whether name is an account with that password. The account is
// "" when the name is not known. The error is ErrBusy, or the context's.
func (d *Desk) Check(ctx context.Context, a *Accounts, name, password string) (account string, ok bool, err error) {
	if a == nil || a.hashes == nil {
		return "", false, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case d.places <- struct{}{}:
	case <-timer.C:
		return "", false, ErrBusy
	case <-ctx.Done():
		return "", false, context.Cause(ctx)
	}
	defer func() { <-d.places }()
	folded := fold(name)
	h, known := a.hashes[folded]
	if !known {
		folded, h = "", a.nobody
	}
	// A password that is too long costs no more than any other.
	right := len(password) <= maxPasswordBytes && len(password) > 0
	if !right {
		password = ""
	}
	return folded, h.matches(password) && known && right, nil
}
