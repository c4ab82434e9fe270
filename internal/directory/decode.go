package directory

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// position is a place in a file: the one being read, unless it names another.
type position struct {
	file         string
	line, column int
}

// decoder turns the nodes of one file into values. It goes on after a fault,
// so that all of them are found in one run.
type decoder struct {
	base      string // directory to which relative paths belong
	file      string // the name of the file; may be empty
	faults    Faults
	positions map[string]position // of every key and element that the file holds
	misspelt  Faults              // the keys that unknown ones were probably meant for
	overlay   *overlayPlace       // nil: there is no overlay
}

// value is a node of the file with the path that leads to it.
type value struct {
	node *yaml.Node
	path string
}

// fault records a fault of v.
func (d *decoder) fault(v value, problem, mend string) {
	d.faults = append(d.faults, Fault{
		Line: v.node.Line, Column: v.node.Column, Path: v.path, Problem: problem, Mend: mend,
	})
}

// at returns the node at path below v and remembers where it stands.
func (d *decoder) at(n *yaml.Node, path string) value {
	d.positions[path] = position{line: n.Line, column: n.Column}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return value{node: n, path: path}
}

// isNull reports whether nothing was written after the key.
func (v value) isNull() bool {
	return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// kindName says what was found, for messages.
func (v value) kindName() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

// reader turns one value of the file into a V, or records why it cannot.
type reader[V any] func(d *decoder, v value) (V, bool)

// field is one key of an object of the file: how it is read, and what the
// sample says about it.
type field[T any] struct {
	key      string
	doc      string // sentences for the sample
	def      string // the default as it would be written; empty: said in doc, or none
	sample   string // what the sample shows; empty: def
	required bool
	read     func(d *decoder, v value, t *T)
	// children describe a section, for the sample; list marks one that repeats.
	children []entry
	list     bool
}

// into makes a field's read from a reader and the place the value goes to.
func into[T, V any](place func(*T) *V, read reader[V]) func(*decoder, value, *T) {
	return func(d *decoder, v value, t *T) {
		if x, ok := read(d, v); ok {
			*place(t) = x
		}
	}
}

// object is what a kind of object may hold: its keys, and those that are
// refused because their feature is not built.
type object[T any] struct {
	kind        string // for messages: "a partner"
	fields      []field[T]
	unavailable map[string]string // see unavailable.go
}

// readInto reads v over what t already holds. What the file does not mention
// stays as it was: t starts as the defaults.
func (o object[T]) readInto(d *decoder, v value, t *T) {
	if v.isNull() {
		o.missing(d, v, nil)
		return
	}
	if v.node.Kind != yaml.MappingNode {
		d.fault(v, fmt.Sprintf("%s is a group of keys, not %s", o.kind, v.kindName()), "Write key: value pairs, indented below")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, n := v.node.Content[i], v.node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.fault(value{node: key, path: v.path}, "a key is a single word", "Write key: value pairs")
			continue
		}
		here := value{node: key, path: join(v.path, key.Value)}
		if line, twice := seen[key.Value]; twice {
			d.fault(here, fmt.Sprintf("the key is written twice, first in line %d", line), "Delete one of the two")
			continue
		}
		seen[key.Value] = key.Line
		f := o.field(key.Value)
		if f == nil {
			o.refuse(d, here)
			continue
		}
		f.read(d, d.at(n, here.path), t)
	}
	o.missing(d, v, seen)
}

func (o object[T]) field(key string) *field[T] {
	for i := range o.fields {
		if o.fields[i].key == key {
			return &o.fields[i]
		}
	}
	return nil
}

// missing records the required keys that the file does not hold.
func (o object[T]) missing(d *decoder, v value, seen map[string]int) {
	for _, f := range o.fields {
		if _, ok := seen[f.key]; f.required && !ok {
			here := value{node: v.node, path: join(v.path, f.key)}
			d.fault(here, fmt.Sprintf("%s needs this key", o.kind), fmt.Sprintf("Write %s: %s", f.key, f.sample))
		}
	}
}

// refuse records a key that o does not have.
func (o object[T]) refuse(d *decoder, key value) {
	name := key.node.Value
	if name == "<<" {
		d.fault(key, "merge keys are not read", "Write the keys out")
		return
	}
	if instead, ok := o.unavailable[strings.ToLower(name)]; ok {
		if instead != "" {
			d.fault(key, quoted(name)+" is written otherwise here", instead)
		} else {
			d.fault(key, quoted(name)+" is not available in this version", "Delete the key")
		}
		return
	}
	names := make([]string, len(o.fields))
	for i, f := range o.fields {
		names[i] = f.key
	}
	mend := "Known keys: " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		mend = fmt.Sprintf("Did you mean %s?", quoted(near))
		d.misspelt = append(d.misspelt, Fault{Path: join(parent(key.path), near)})
	}
	d.fault(key, fmt.Sprintf("%s has no key %s", o.kind, quoted(name)), mend)
}

// readList reads a list of objects, each of which starts as start makes it.
func (o object[T]) readList(d *decoder, v value, start func() T) []T {
	out := []T{}
	for _, e := range d.elements(v) {
		t := start()
		o.readInto(d, e, &t)
		out = append(out, t)
	}
	return out
}

// elements returns the elements of a list; nothing written is an empty list.
func (d *decoder) elements(v value) []value {
	if v.isNull() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		d.fault(v, "a list is wanted, not "+v.kindName(), "Write [ ... ] around it, or one line with a leading dash for each element")
		return nil
	}
	out := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		out[i] = d.at(n, fmt.Sprintf("%s[%d]", v.path, i))
	}
	return out
}

// listOf reads a list of single values.
func listOf[V any](read reader[V]) reader[[]V] {
	return func(d *decoder, v value) ([]V, bool) {
		var out []V
		before := len(d.faults)
		for _, e := range d.elements(v) {
			if x, ok := read(d, e); ok {
				out = append(out, x)
			}
		}
		return out, len(d.faults) == before
	}
}

func join(path, key string) string {
	if len(key) > 64 {
		key = key[:64]
	}
	if path == "" {
		return printable(key)
	}
	return path + "." + printable(key)
}

// quoted returns s in double quotes, cut and escaped: what stands in a file
// may be anything.
func quoted(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return `"` + printable(s) + `"`
}

// printable escapes what would disturb a terminal or a log line.
func printable(s string) string {
	q := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
