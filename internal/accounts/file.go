package accounts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The bounds of the file.
const (
	maxFileBytes = 4 << 20
	maxNameBytes = 255
	// maxPasswordBytes bounds what is hashed. A password longer than a command
	// cannot come by SMTP.
	maxPasswordBytes = 255
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	Line    int // 0: the file as a whole
	Problem string
	Mend    string // "" when nothing better can be said
}

// Error returns "line N: PROBLEM. MEND.", without the number for the whole file.
func (f Fault) Error() string {
	s := f.Problem
	if f.Line > 0 {
		s = fmt.Sprintf("line %d: %s", f.Line, s)
	}
	if f.Mend != "" {
		s += ". " + f.Mend
	}
	return s
}

const mendLine = "Make the line with mailpact account line NAME"

// Load reads a file. It returns the accounts, or every fault of the file.
func Load(path string) (*Accounts, []Fault) {
	f, err := os.Open(path)
	if err != nil {
		return nil, []Fault{{Problem: plain(err), Mend: "Write the path of the file, or make it: mailpact account line NAME >FILE"}}
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, []Fault{{Problem: plain(err)}}
	case !st.Mode().IsRegular():
		return nil, []Fault{{Problem: "it is not a file"}}
	case st.Mode().Perm()&0o007 != 0:
		return nil, []Fault{{Problem: "everybody on this machine may read or change it", Mend: "Run chmod o= " + path}}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, []Fault{{Problem: plain(err)}}
	}
	return Parse(data)
}

// plain returns the text of an error of os without operation and path.
func plain(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse is Load for the octets of a file.
func Parse(data []byte) (*Accounts, []Fault) {
	if len(data) > maxFileBytes {
		return nil, []Fault{{Problem: fmt.Sprintf("the file has more than %d octets", maxFileBytes)}}
	}
	a := newAccounts()
	var faults []Fault
	lines := make(map[string]int)
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, ok := strings.Cut(line, ":")
		if !ok {
			faults = append(faults, Fault{Line: number, Problem: "it has no colon between name and hash", Mend: mendLine})
			continue
		}
		if err := checkName(name); err != nil {
			faults = append(faults, Fault{Line: number, Problem: err.Error(), Mend: "Write another name"})
			continue
		}
		if before := lines[fold(name)]; before > 0 {
			faults = append(faults, Fault{Line: number, Problem: fmt.Sprintf("the name stands in line %d already", before), Mend: "Delete one of the two"})
			continue
		}
		lines[fold(name)] = number
		h, err := parseHash(text)
		if err != nil {
			faults = append(faults, Fault{Line: number, Problem: err.Error(), Mend: mendLine})
			continue
		}
		a.hashes[fold(name)] = h
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return a, nil
}

// Line returns the line of the file for an account, without its end.
func Line(name, password string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxPasswordBytes:
		return "", fmt.Errorf("the password has more than %d octets", maxPasswordBytes)
	case strings.ContainsAny(password, "\x00\r\n"):
		return "", errors.New("the password holds a line end or a NUL, which cannot be sent")
	}
	h := newHash(password)
	return name + ":" + h.String(), nil
}

// checkName accepts what can stand before the colon and be sent as a user name.
func checkName(name string) error {
	if name == "" || len(name) > maxNameBytes || name[0] == '#' {
		return fmt.Errorf("a name has 1 to %d octets and does not begin with #", maxNameBytes)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == ':' {
			return errors.New("a name holds printable ASCII without spaces and colons")
		}
	}
	return nil
}

// fold is what names are compared by.
func fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
