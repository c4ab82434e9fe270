package cli

import (
	"errors"

	"mailpact/internal/admin"
)

// The exit codes of every command.
const (
	ExitYes         = 0
	ExitNo          = 1
	ExitUsage       = 2
	ExitUnreachable = 3
)

// usageError marks an error as a fault of the command line or of an input file.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// silentError carries an exit code for a failure that has been reported already.
type silentError struct{ code int }

func (e *silentError) Error() string { return "failed" }

// exitCode is the one table from errors to exit codes.
func exitCode(err error) int {
	var (
		silent      *silentError
		usage       *usageError
		unreachable *admin.UnreachableError
		operation   *admin.Error
	)
	switch {
	case err == nil:
		return ExitYes
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &operation) && operation.Kind == admin.KindInvalid:
		return ExitUsage
	default:
		return ExitNo
	}
}
