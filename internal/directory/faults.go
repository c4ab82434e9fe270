package directory

import (
	"fmt"
	"sort"
	"strings"
)

// Fault is one thing that makes a configuration invalid.
type Fault struct {
	File    string `json:"file,omitempty"`   // empty when the values came from no file
	Line    int    `json:"line,omitempty"`   // 1 is the first; 0 is unknown
	Column  int    `json:"column,omitempty"` // 1 is the first; 0 is unknown
	Path    string `json:"path,omitempty"`   // the key: "partners[0].mode", the first element is 0
	Problem string `json:"problem"`          // what is wrong, without a final full stop
	Mend    string `json:"mend,omitempty"`   // what to write or run, without a final full stop
}

// String returns the fault on one line, "FILE:LINE:COLUMN: PATH: PROBLEM. MEND.",
// without the parts that are empty.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File + ":")
	}
	if f.Line > 0 {
		fmt.Fprintf(&b, "%d:", f.Line)
		if f.Column > 0 {
			fmt.Fprintf(&b, "%d:", f.Column)
		}
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Problem + ".")
	if f.Mend != "" {
		b.WriteString(" " + f.Mend)
		if !strings.HasSuffix(f.Mend, "?") {
			b.WriteByte('.')
		}
	}
	return b.String()
}

// Faults are all the faults of one configuration, in the order of the file.
type Faults []Fault

// Error returns one fault per line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns fs as an error, or nil when there are none.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// sortByPosition orders fs as the files are read: first's before those of others.
func (fs Faults) sortByPosition(first string) {
	sort.SliceStable(fs, func(i, j int) bool {
		if a, b := fs[i].File == first, fs[j].File == first; a != b {
			return a
		}
		if fs[i].Line != fs[j].Line {
			return fs[i].Line < fs[j].Line
		}
		return fs[i].Column < fs[j].Column
	})
}

// touches reports whether one of fs lies at path, below it, or around it.
func (fs Faults) touches(path string) bool {
	for _, f := range fs {
		if within(f.Path, path) || within(path, f.Path) {
			return true
		}
	}
	return false
}

// within reports whether path is outer or lies below it. Everything lies below "".
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}
