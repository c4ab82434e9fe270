package admin

import (
	"fmt"

	"mailpact/internal/accounts"
	"mailpact/internal/directory"
)

// AccountLine returns the line of the accounts file for a name and a password.
// It needs no running server. The error never holds the password.
func AccountLine(name, password string) (string, error) { return accounts.Line(name, password) }

// checkAccounts reports the faults of the accounts file.
func checkAccounts(file string) directory.Faults {
	if file == "" {
		return nil
	}
	_, faults := accounts.Load(file)
	out := make(directory.Faults, len(faults))
	for i, f := range faults {
		where := file
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", file, f.Line)
		}
		out[i] = directory.Fault{Path: "server.accountsFile", Problem: where + ": " + f.Problem, Mend: f.Mend}
	}
	return out
}
