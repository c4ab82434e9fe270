package directory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of a configuration file. A file within them is read in well under a
// second.
const (
	MaxFileBytes = 1 << 20 // of a file, in octets
	maxDepth     = 16      // of groups and lists in one another
	maxAliases   = 100     // "*name" in one file
	maxValues    = 200_000 // values in one file, counting an alias as what it stands for
)

// LoadOptions say what a file does not.
type LoadOptions struct {
	// File is the name that faults show. Load sets it to its path.
	File string
	// Base is the directory to which relative paths belong, absolute. Load
	// sets it to the directory of the file.
	Base string
	// Hostname is the machine's name, for a file without server.fqdn.
	Hostname string
	// DefaultDataDirectory counts when the file has no server.dataDirectory.
	DefaultDataDirectory string
	// DataDirectory, when set, counts whatever the file says (--data). A
	// relative one belongs to the working directory.
	DataDirectory string
	// Listen, when set, replaces the bindings of the only receive connector (--listen).
	Listen string
	// SkipFiles leaves the certificate, key and anchor files and the overlay unread.
	SkipFiles bool
	// Check looks deeper into the files that a configuration names than this
	// package can; nil: nobody does. Its faults are placed like all others. Of a
	// value that is at fault already it is not believed.
	Check func(*Configuration) Faults

	// overlay replaces what stands in the data directory; nil: it does not.
	overlay []byte
}

// Load reads the configuration file at path, and what operations have added to
// it below its data directory (Overlay). It returns a complete configuration, or
// every fault of both and no configuration.
func Load(path string, o LoadOptions) (*Configuration, Faults) {
	o.File = path
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, Faults{{File: path, Problem: "the path cannot be made absolute: " + err.Error()}}
	}
	o.Base = filepath.Dir(abs)
	data, err := readBounded(abs)
	if err != nil {
		return nil, Faults{{File: path, Problem: err.Error(), Mend: fileMend(err)}}
	}
	return Parse(data, o)
}

// Parse is Load for the octets of a file.
func Parse(data []byte, o LoadOptions) (*Configuration, Faults) {
	c, faults := parse(data, o)
	for i := range faults {
		if faults[i].File == "" {
			faults[i].File = o.File
		}
	}
	faults.sortByPosition(o.File)
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

func parse(data []byte, o LoadOptions) (*Configuration, Faults) {
	if len(data) > MaxFileBytes {
		return nil, Faults{{Problem: fmt.Sprintf("the file has %d octets; %d is the limit", len(data), MaxFileBytes)}}
	}
	root, faults := parseYAML(data)
	if len(faults) > 0 {
		return nil, faults
	}
	d := &decoder{base: o.Base, file: o.File, positions: map[string]position{}}
	c := defaults(DefaultOptions{Hostname: o.Hostname, DataDirectory: o.DefaultDataDirectory})
	if root != nil {
		fileObject().readInto(d, d.at(root, ""), c)
	}
	d.override(c, o)
	if !o.SkipFiles {
		d.mergeOverlay(c, o)
	}
	c.derive()
	late := c.Validate()
	if !o.SkipFiles {
		late = append(late, c.checkFiles()...)
	}
	// A value that could not be read is still its default; what follows from
	// that is no second fault.
	d.add(late, append(d.misspelt, d.faults...))
	if o.Check != nil && !o.SkipFiles {
		d.add(o.Check(c), append(d.misspelt, d.faults...))
	}
	for i := range d.faults {
		if d.overlay != nil && d.faults[i].File == d.overlay.file {
			d.faults[i].Path = d.overlay.shift(d.faults[i].Path, -1)
		}
	}
	return c, d.faults
}

// add places late faults, without those of values that are at fault already.
func (d *decoder) add(late, known Faults) {
	for _, f := range late {
		if !known.touches(f.Path) {
			d.faults = append(d.faults, d.place(f))
		}
	}
}

// override applies what the command line says over the file.
func (d *decoder) override(c *Configuration, o LoadOptions) {
	if o.DataDirectory != "" {
		c.Server.DataDirectory = fromWorkingDirectory(o.DataDirectory)
	}
	if o.Listen == "" {
		return
	}
	listen, err := parseListenAddress(o.Listen)
	switch {
	case err != nil:
		d.faults = append(d.faults, Fault{Path: "--listen", Problem: quoted(o.Listen) + " " + err.Error(), Mend: "Write an address with a port, 127.0.0.1:2525 say"})
	case len(c.ReceiveConnectors) != 1:
		d.faults = append(d.faults, Fault{
			Path:    "--listen",
			Problem: fmt.Sprintf("it replaces the bindings of the only receive connector, and the file has %d", len(c.ReceiveConnectors)),
			Mend:    "Write bindings in the file instead",
		})
	default:
		c.ReceiveConnectors[0].Bindings = []string{listen}
	}
}

// place gives a fault the position of its key, or of what holds it.
func (d *decoder) place(f Fault) Fault {
	for path := f.Path; ; path = parent(path) {
		if p, ok := d.positions[path]; ok {
			f.Line, f.Column = p.line, p.column
			if p.file != "" {
				f.File = p.file
			}
			return f
		}
		if path == "" {
			return f
		}
	}
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// parseYAML returns the root of the only document, nil when the file holds
// nothing but comments.
func parseYAML(data []byte) (*yaml.Node, Faults) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Faults{syntaxFault(data, err)}
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, Faults{{Line: second.Line, Column: second.Column, Problem: "a second document begins here; a file is one document", Mend: "Delete the line ---"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, Faults{syntaxFault(data, err)}
	}
	l := limits{}
	l.walk(&doc, 0)
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// yamlLine finds the line in a message of the YAML library.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxFault turns an error of the YAML library into a fault.
func syntaxFault(data []byte, err error) Fault {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	m := yamlLine.FindStringSubmatch(text)
	f := Fault{Problem: "the file is not YAML: " + printable(strings.TrimPrefix(text, m[0]))}
	f.Line, _ = strconv.Atoi(m[1]) // no number is line 0, unknown
	lines := strings.Split(string(data), "\n")
	for _, n := range []int{f.Line, f.Line + 1} {
		if n < 1 || n > len(lines) {
			continue
		}
		line := lines[n-1]
		if blank := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(blank, "\t") {
			f.Mend = fmt.Sprintf("Line %d begins with a tab; YAML is indented with spaces", n)
		}
	}
	return f
}

// limits finds what makes a file too large or too clever to be read.
type limits struct {
	faults          Faults
	values, aliases int
	within          []*yaml.Node // aliases being followed, against a circle
}

func (l *limits) walk(n *yaml.Node, depth int) {
	if len(l.faults) > 0 {
		return
	}
	l.values++
	problem := ""
	switch {
	case depth > maxDepth:
		problem = fmt.Sprintf("groups and lists stand in one another more than %d deep", maxDepth)
	case l.values > maxValues:
		problem = fmt.Sprintf("the file holds more than %d values", maxValues)
	case n.Style&yaml.TaggedStyle != 0:
		problem = fmt.Sprintf("the YAML tag %s is not read", quoted(n.Tag))
	case n.Kind == yaml.AliasNode:
		l.aliases++
		if l.aliases > maxAliases {
			problem = fmt.Sprintf("more than %d aliases are used", maxAliases)
			break
		}
		for _, w := range l.within {
			if w == n.Alias {
				problem = fmt.Sprintf("the alias %s stands for itself", quoted(n.Value))
			}
		}
		if problem == "" {
			l.within = append(l.within, n.Alias)
			l.walk(n.Alias, depth)
			l.within = l.within[:len(l.within)-1]
		}
	}
	if problem != "" {
		l.faults = append(l.faults, Fault{Line: n.Line, Column: n.Column, Problem: problem, Mend: "Write the values out"})
		return
	}
	for _, c := range n.Content {
		l.walk(c, depth+1)
	}
}

// readBounded reads a regular file of at most MaxFileBytes octets.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPathError(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, plainPathError(err)
	} else if st.IsDir() {
		return nil, errors.New("it is a directory, not a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, plainPathError(err)
	}
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("the file has more than %d octets", MaxFileBytes)
	}
	return data, nil
}

// plainPathError takes operation and path from an error of os: the fault names
// the file already. It keeps the cause.
func plainPathError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func fileMend(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "Check the path, or start without --config for the defaults"
	case errors.Is(err, os.ErrPermission):
		return "Give the user that runs mailpact the right to read it"
	}
	return ""
}
