package directory

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// overlaid is what the schema reads out of an overlay.
type overlaid struct {
	partners   []Partner
	trust      Trust
	revocation Revocation
	bundles    []BundleSource
	version    uint64
}

// overlayObject is the table of the overlay's keys: those of the file, of the
// sections that operations own, and the overlay's own.
func overlayObject() object[overlaid] {
	type o = overlaid
	return object[o]{
		kind: "the overlay",
		fields: []field[o]{
			{key: "version", read: into(func(o *o) *uint64 { return &o.version }, readVersion)},
			objects("partners", "", partnerObject(), defaultPartner, func(o *o) *[]Partner { return &o.partners }),
			section("trust", "", overlayTrustObject(), func(o *o) *Trust { return &o.trust }),
			section("revocation", "", revocationObject(), func(o *o) *Revocation { return &o.revocation }),
			objects("bundles", "", bundleObject(), func() BundleSource { return BundleSource{} }, func(o *o) *[]BundleSource { return &o.bundles }),
		},
		unavailable: map[string]string{},
	}
}

// overlayTrustObject is the trust section without what only the file says.
func overlayTrustObject() object[Trust] {
	o := trustObject()
	o.fields = append([]field[Trust]{}, *o.field("anchors"), *o.field("intermediates"))
	return o
}

func bundleObject() object[BundleSource] {
	type b = BundleSource
	return object[b]{
		kind: "a bundle",
		fields: []field[b]{
			{key: "signer", required: true, read: into(func(b *b) *string { return &b.Signer }, readThumbprint)},
			{key: "organization", read: into(func(b *b) *string { return &b.Organization }, readText)},
			{key: "sequence", required: true, read: into(func(b *b) *uint64 { return &b.Sequence }, readVersion)},
			{key: "domains", read: into(func(b *b) *[]string { return &b.Domains }, listOf(readHostName))},
			{key: "anchors", read: into(func(b *b) *[]string { return &b.Anchors }, listOf(readText))},
		},
		unavailable: map[string]string{},
	}
}

func readVersion(d *decoder, v value) (uint64, bool) {
	return parsed("Write a whole number", func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n > math.MaxInt64 {
			return 0, errors.New("is not a whole number")
		}
		return n, nil
	})(d, v)
}

// mergeOverlay adds to c what operations have changed: the one place where the
// two are put together. Faults carry the path that the value has in the whole,
// so that they are placed like all others; unshift gives them their own back.
func (d *decoder) mergeOverlay(c *Configuration, o LoadOptions) {
	if !filepath.IsAbs(c.Server.DataDirectory) {
		return // Validate says so
	}
	name, data := OverlayPath(c.Server.DataDirectory), o.overlay
	if data == nil {
		var err error
		if data, err = readBounded(name); errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return
		} else if err != nil {
			d.faults = append(d.faults, Fault{File: name, Problem: err.Error(), Mend: fileMend(err)})
			return
		}
	}
	root, faults := parseYAML(data)
	over := &decoder{base: c.Server.DataDirectory, file: name, positions: map[string]position{}, faults: faults}
	read := overlaid{revocation: c.Revocation}
	if root != nil && len(faults) == 0 {
		overlayObject().readInto(over, over.at(root, ""), &read)
	}
	for i := range over.faults {
		over.faults[i].File = name
	}
	d.conflicts(over, c, &read)
	over.outside(&read)
	d.overlay = &overlayPlace{file: name, offsets: map[string]int{
		"partners": len(c.Partners), "trust.anchors": len(c.Trust.Anchors), "trust.intermediates": len(c.Trust.Intermediates),
	}}
	c.Partners = append(c.Partners, read.partners...)
	c.Trust.Anchors = append(c.Trust.Anchors, read.trust.Anchors...)
	c.Trust.Intermediates = append(c.Trust.Intermediates, read.trust.Intermediates...)
	c.Revocation = read.revocation
	for path, p := range over.positions {
		if path = d.overlay.shift(path, 1); path != "" {
			if _, there := d.positions[path]; !there {
				p.file = name
				d.positions[path] = p
			}
		}
	}
	for _, f := range over.faults {
		f.Path = d.overlay.shift(f.Path, 1)
		d.faults = append(d.faults, f)
	}
	for _, f := range over.misspelt {
		f.Path = d.overlay.shift(f.Path, 1)
		d.misspelt = append(d.misspelt, f)
	}
}

// conflicts records what stands in both places, naming both.
func (d *decoder) conflicts(over *decoder, c *Configuration, read *overlaid) {
	inFile := map[string]int{}
	for i := range c.Partners {
		inFile[string(c.Partners[i].Domain)] = i
	}
	for i, p := range read.partners {
		if j, both := inFile[string(p.Domain)]; both && p.Domain != "" {
			path := fmt.Sprintf("partners[%d].domain", i)
			over.placed(path, fmt.Sprintf("%s is a partner here and in %s", quoted(string(p.Domain)), d.where(fmt.Sprintf("partners[%d]", j))),
				"Delete it from the file, or take this one away: mailpact partner remove "+string(p.Domain))
		}
	}
	for path := range over.positions {
		if !strings.HasPrefix(path, "revocation.") || strings.Contains(path, "[") {
			continue
		}
		if _, both := d.positions[path]; both {
			over.placed(path, "the key is set here and in "+d.where(path), "Delete it from the file, or set it back with the command that has set it")
		}
	}
}

// outside records certificate files that do not lie below the data directory:
// operations refer to what they have written themselves.
func (d *decoder) outside(read *overlaid) {
	check := func(path, file string) {
		if rel, err := filepath.Rel(d.base, file); file != "" && (err != nil || !filepath.IsLocal(rel)) {
			d.placed(path, quoted(file)+" does not lie below the data directory", "Import it again with the command that has set it")
		}
	}
	for i, a := range read.trust.Anchors {
		check(fmt.Sprintf("trust.anchors[%d].file", i), a.File)
	}
	for i, m := range read.trust.Intermediates {
		check(fmt.Sprintf("trust.intermediates[%d].file", i), m.File)
	}
}

// placed records a fault at path where that stands.
func (d *decoder) placed(path, problem, mend string) {
	f := d.place(Fault{File: d.file, Path: path, Problem: problem, Mend: mend})
	d.faults = append(d.faults, f)
}

// where says in which file and line path stands.
func (d *decoder) where(path string) string {
	f := d.place(Fault{Path: path})
	name := d.file
	if f.File != "" {
		name = f.File
	}
	if name == "" {
		name = "the configuration file"
	}
	if f.Line == 0 {
		return name
	}
	return fmt.Sprintf("%s, line %d", name, f.Line)
}

// overlayPlace knows where the overlay's elements stand in the merged lists.
type overlayPlace struct {
	file    string
	offsets map[string]int // elements of the file before the overlay's, by list
}

// shift moves the index of a path from the overlay's list into the merged one
// (sign 1), or back (sign -1). Of the lists themselves nothing is returned: their
// place is the file's.
func (o *overlayPlace) shift(path string, sign int) string {
	for list, offset := range o.offsets {
		rest, ok := strings.CutPrefix(path, list)
		if !ok || (rest != "" && rest[0] != '[') {
			continue
		}
		if rest == "" {
			return path
		}
		index, tail, _ := strings.Cut(rest[1:], "]")
		n, err := strconv.Atoi(index)
		if err != nil {
			return path
		}
		return fmt.Sprintf("%s[%d]%s", list, n+sign*offset, tail)
	}
	return path
}
