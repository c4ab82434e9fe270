package directory

import (
	"bytes"
	"strings"
)

// entry is what the sample says about one key.
type entry struct {
	key, doc, def, value string
	children             []entry
	list                 bool
}

// describe returns the entries of an object's fields.
func describe[T any](fields []field[T]) []entry {
	out := make([]entry, len(fields))
	for i, f := range fields {
		out[i] = entry{key: f.key, doc: f.doc, def: f.def, value: f.sample, children: f.children, list: f.list}
		if f.sample == "" {
			out[i].value = f.def
		}
	}
	return out
}

// Sample returns a configuration file with every key, each with what it means
// and its default. It is made from the table that reads the file, so that it
// cannot say what is not so.
func Sample() []byte {
	var b bytes.Buffer
	b.WriteString("# Every key of the configuration file of mailpact serve. Keys with a default may be\n")
	b.WriteString("# left out. Durations read 90s or 1m30s, sizes 10MB, every limit also unlimited.\n")
	b.WriteString("# mailpact config check FILE shows every fault of a file at once;\n")
	b.WriteString("# of this one, until yours stand in their place, that the files it names are not there.\n")
	for _, e := range describe(fileObject().fields) {
		b.WriteByte('\n')
		e.write(&b, "")
	}
	return b.Bytes()
}

func (e entry) write(b *bytes.Buffer, indent string) {
	doc := e.doc
	if e.def != "" && e.children == nil {
		doc += " Default: " + e.def + "."
	}
	for _, line := range wrap(doc, 88-len(indent)) {
		b.WriteString(indent + "# " + line + "\n")
	}
	if e.children == nil {
		b.WriteString(indent + e.key + ": " + e.value + "\n")
		return
	}
	b.WriteString(indent + e.key + ":\n")
	inner := indent + "  "
	if e.list {
		inner += "  "
	}
	for i, c := range e.children {
		var one bytes.Buffer
		c.write(&one, inner)
		if text := one.String(); e.list && i == 0 {
			// The dash stands before the first key; its comment above the dash.
			at := strings.Index(text, inner+c.key+":")
			b.WriteString(text[:at] + indent + "  - " + text[at+len(inner):])
		} else {
			b.WriteString(text)
		}
	}
}

// wrap breaks s at spaces into lines of at most width octets.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
