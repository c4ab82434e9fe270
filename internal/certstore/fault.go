package certstore

// FaultKind says what is in the way of a change.
type FaultKind uint8

// The kinds of faults. The zero value is a fault of what was handed in.
const (
	FaultInput   FaultKind = iota // what was handed in cannot be right
	FaultMissing                  // the certificate named does not exist
	FaultState                    // not in the certificate's present state
)

// Fault is why a change of our certificates was refused. Nothing was changed.
type Fault struct {
	Kind    FaultKind
	Field   string // what is at fault: a field of the request or a certificate
	Problem string // the rule that was broken, without a final full stop; never key material
	Mend    string // what to do, without a final full stop
	Err     error  // the cause, or nil
}

// Error returns "FIELD: PROBLEM. MEND.".
func (f *Fault) Error() string {
	s := f.Text()
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Mend != "" {
		s += ". " + f.Mend + "."
	}
	return s
}

// Text returns the problem and its cause.
func (f *Fault) Text() string {
	if f.Err == nil {
		return f.Problem
	}
	return f.Problem + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }
