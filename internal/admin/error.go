package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
)

// Kind classes an operation's error; callers branch on it.
type Kind string

// The kinds. An error without a kind is KindInternal.
const (
	KindInvalid      Kind = "invalid"      // the request cannot be right
	KindNotFound     Kind = "notFound"     // the object it names does not exist
	KindConflict     Kind = "conflict"     // not in the object's present state
	KindNotPermitted Kind = "notPermitted" // the caller may not
	KindUnavailable  Kind = "unavailable"  // not at the moment; try again
	KindInternal     Kind = "internal"     // a fault of the server, in its log
)

// kindStatus is the one table of kinds and HTTP status codes.
var kindStatus = map[Kind]int{
	KindInvalid:      http.StatusUnprocessableEntity,
	KindNotFound:     http.StatusNotFound,
	KindConflict:     http.StatusConflict,
	KindNotPermitted: http.StatusForbidden,
	KindUnavailable:  http.StatusServiceUnavailable,
	KindInternal:     http.StatusInternalServerError,
}

// Error is what an operation returns when it fails.
type Error struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object,omitempty"` // field or object concerned; may be empty
	Detail string `json:"detail"`           // what is wrong, a clause without full stop
	Fix    string `json:"fix,omitempty"`    // the command that mends it; may be empty
}

// Error returns object, detail and fix in one line.
func (e *Error) Error() string {
	s := e.Detail
	if e.Object != "" {
		s = e.Object + ": " + s
	}
	if e.Fix != "" {
		s += " (" + e.Fix + ")"
	}
	return s
}

// NotFound returns an error of KindNotFound for object.
func NotFound(object, fix string) *Error {
	return &Error{Kind: KindNotFound, Object: object, Detail: "does not exist", Fix: fix}
}

// problem is an Error on the wire (RFC 9457, section 3).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Error
}

// problemOf finds the *Error in err. Anything else becomes a bland internal
// error outside; the second result tells the caller to log the full text.
func problemOf(err error) (p problem, internal bool) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: KindInternal, Detail: "the server met a fault; its log says more"}
		internal = true
	}
	status, ok := kindStatus[e.Kind]
	if !ok {
		status = http.StatusInternalServerError
	}
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Error: *e}, internal
}

// UnreachableError says that no server answered on the socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error names the socket and the ways to mend it.
func (e *UnreachableError) Error() string {
	if errors.Is(e.Err, fs.ErrPermission) {
		return fmt.Sprintf("%s may not be used by this user: %v (run the command as root or as the server's user)", e.Socket, e.Err)
	}
	return fmt.Sprintf("no server answers on %s: %v (start one with 'mailpact serve', or name its socket with --socket)", e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }
