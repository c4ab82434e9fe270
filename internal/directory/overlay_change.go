package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Errors of Origin.Change.
var (
	// ErrOverlayBusy means that another change went on for too long.
	ErrOverlayBusy = errors.New("another command is changing the configuration")
	// ErrOverlayChanged means that somebody else has changed the overlay since.
	ErrOverlayChanged = errors.New("the configuration was changed meanwhile by another command")
)

// overlayPatience is how long a change waits for the one before it, which may
// be waiting for CRLs.
const overlayPatience = time.Minute

// Origin is where the configuration of one server comes from: its file, or the
// defaults, and the overlay below its data directory.
type Origin struct {
	File                 string // configuration file; empty: the defaults
	Hostname             string // as LoadOptions
	DefaultDataDirectory string // as LoadOptions; also where the data of a server without a file lies
	DataDirectory        string // as LoadOptions; may be empty
	Listen               string // as LoadOptions; may be empty
	// Check is that of LoadOptions; nil: nobody checks.
	Check func(*Configuration) Faults
}

// Read returns the configuration as it stands on the disk. The error is Faults
// when something is wrong with it.
func (o Origin) Read() (*Configuration, error) { return o.read(nil) }

// readWithout returns the configuration as it were without an overlay.
func (o Origin) readWithout() (*Configuration, error) { return o.read([]byte(overlayPreamble)) }

func (o Origin) read(overlay []byte) (*Configuration, error) {
	if o.File != "" {
		c, faults := Load(o.File, LoadOptions{
			Hostname: o.Hostname, DefaultDataDirectory: o.DefaultDataDirectory, DataDirectory: o.DataDirectory, Listen: o.Listen,
			Check: o.Check, overlay: overlay,
		})
		return c, faults.Err()
	}
	data := o.DataDirectory
	if data == "" {
		data = o.DefaultDataDirectory
	}
	l := DefaultOptions{Hostname: o.Hostname, DataDirectory: data, Listen: o.Listen, Check: o.Check}.load()
	l.overlay = overlay
	c, faults := Parse(nil, l)
	return c, faults.Err()
}

// OverlayChange is one change of what operations own.
type OverlayChange struct {
	// Edit changes o, which is the overlay as it stands; c is the whole
	// configuration as it stands, or the file alone where the two contradict
	// each other, and not to be changed. An error ends the change.
	Edit func(c *Configuration, o *Overlay) error
	// IfVersion is the version that the caller has seen; another one is
	// ErrOverlayChanged. 0: any will do.
	IfVersion uint64
	// DryRun checks the whole and leaves everything as it was.
	DryRun bool
	// Apply puts the new configuration in force; after its error the overlay
	// is what it was before. nil: nobody uses it now.
	Apply func(*Configuration) error
}

// Change changes the overlay: it edits a copy, checks file and overlay as a
// whole, writes the overlay so that it is old or new whenever the machine stops,
// and applies the whole. Changes of all processes follow one another. It returns
// the new configuration and the overlay's version; after an error everything
// is as it was.
func (o Origin) Change(ctx context.Context, change OverlayChange) (*Configuration, uint64, error) {
	before, err := o.readWithout()
	if err != nil {
		return nil, 0, err
	}
	data := before.Server.DataDirectory
	unlock, err := lockOverlay(ctx, data)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	// Now nobody else changes it. Where the two contradict each other the change
	// may be what mends it, and what counts is the whole afterwards.
	if whole, err := o.Read(); err == nil {
		before = whole
	}
	overlay, err := ReadOverlay(data)
	if err != nil {
		return nil, 0, err
	}
	if change.IfVersion != 0 && change.IfVersion != overlay.Version {
		return nil, 0, fmt.Errorf("%w: version %d is now %d", ErrOverlayChanged, change.IfVersion, overlay.Version)
	}
	version := overlay.Version + 1
	if err := change.Edit(before, overlay); err != nil {
		return nil, 0, err
	}
	overlay.Version = version
	text, err := overlay.encode()
	if err != nil {
		return nil, 0, err
	}
	added, err := overlay.writeCertificates(data)
	if err != nil {
		return nil, 0, err
	}
	after, err := o.commit(change, data, text)
	if err != nil || change.DryRun {
		return after, version, errors.Join(err, removeAll(added))
	}
	return after, version, overlay.removeUnused(data)
}

// commit checks, writes and applies the overlay's new text.
func (o Origin) commit(change OverlayChange, data string, text []byte) (*Configuration, error) {
	after, err := o.read(text)
	if err != nil || change.DryRun {
		return after, err
	}
	if after.Server.DataDirectory != data {
		return nil, errors.New("the configuration file names another data directory now; begin again")
	}
	path := OverlayPath(data)
	old, err := readBounded(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	existed := err == nil
	if err := WriteFile(path, text); err != nil {
		return nil, err
	}
	if change.Apply == nil {
		return after, nil
	}
	if err := change.Apply(after); err != nil {
		if existed {
			return nil, errors.Join(err, WriteFile(path, old))
		}
		return nil, errors.Join(err, removeIfThere(path), SyncDirectory(data))
	}
	return after, nil
}

// writeCertificates writes the files that the change has added and that are not
// there yet, and returns their paths.
func (o *Overlay) writeCertificates(data string) (added []string, err error) {
	if len(o.certificates) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Join(data, overlayTrusted), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of anchors: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(o.certificates)) {
		path := filepath.Join(data, name)
		there, err := os.ReadFile(path)
		if err == nil && bytes.Equal(there, o.certificates[name]) {
			continue
		}
		if err := WriteFile(path, o.certificates[name]); err != nil {
			return added, errors.Join(err, removeAll(added))
		}
		added = append(added, path)
	}
	return added, nil
}

// trustedFile is the form of the names that AddCertificates gives.
var trustedFile = regexp.MustCompile(`^[0-9a-f]{64}\.pem$`)

// removeUnused removes the files of AddCertificates to which nothing refers any more.
func (o *Overlay) removeUnused(data string) error {
	dir := filepath.Join(data, overlayTrusted)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for unused anchors: %w", err)
	}
	used := o.files()
	var unused []string
	for _, e := range entries {
		if trustedFile.MatchString(e.Name()) && !used[filepath.Join(overlayTrusted, e.Name())] {
			unused = append(unused, filepath.Join(dir, e.Name()))
		}
	}
	return removeAll(unused)
}

func removeAll(paths []string) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, removeIfThere(p))
	}
	return errors.Join(errs...)
}

// lockOverlay lets one change go on at a time, in all processes. It makes the
// data directory of a server that never ran.
func lockOverlay(ctx context.Context, data string) (unlock func(), err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("making data directory: %w", err)
	}
	unlock, err = LockFile(ctx, filepath.Join(data, overlayLock), overlayPatience)
	if errors.Is(err, ErrLocked) {
		err = ErrOverlayBusy
	}
	return unlock, err
}
