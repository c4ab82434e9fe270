package revocation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names and bounds of the cache on disk.
const (
	listSuffix        = ".crl"
	metadataSuffix    = ".json"
	indexSuffix       = ".idx"
	maxFiles          = 1024
	maxDiskOctets     = 2 << 30
	maxMetadataOctets = 64 << 10
)

// disk is the cache directory: for each address and issuer a CRL, DER, and what
// is worth knowing about it, JSON. One process uses a directory at a time.
type disk struct{ directory string }

// metadata stands beside a CRL. The CRL itself decides what is true; only
// Fetched and the validators are nowhere else.
type metadata struct {
	URL        string    `json:"url"`
	Issuer     string    `json:"issuer"`
	Number     string    `json:"number,omitempty"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
	Entries    int       `json:"entries"`
	Fetched    time.Time `json:"fetched"`
	Digest     string    `json:"digest"` // of what is signed and the signature
	validators
}

// openDisk makes the directory and removes what an interrupted fetch left.
func openDisk(directory string) (*disk, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("making CRL directory: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(directory, tempPattern+"*"))
	if err != nil {
		return nil, fmt.Errorf("listing CRL directory: %w", err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("removing an unfinished fetch: %w", err)
		}
	}
	return &disk{directory: directory}, nil
}

func (d *disk) readMetadata(id string) (metadata, error) {
	content, err := readBounded(d.path(id+metadataSuffix), maxMetadataOctets)
	if err != nil {
		return metadata{}, err
	}
	var m metadata
	if err := json.Unmarshal(content, &m); err != nil {
		return metadata{}, fmt.Errorf("reading CRL metadata: %w", err)
	}
	return m, nil
}

// adopt makes the file path, DER, the CRL named id, and the file indexPath, where
// there is one, its index. A reader sees the old CRL or the new one, whole.
func (d *disk) adopt(id, path, indexPath string, m metadata) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("keeping a CRL: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("keeping a CRL: %w", err)
	}
	if err := d.keepIndex(id, indexPath); err != nil {
		return err
	}
	if err := os.Rename(path, d.path(id+listSuffix)); err != nil {
		return fmt.Errorf("keeping a CRL: %w", err)
	}
	if err := d.sync(); err != nil {
		return fmt.Errorf("keeping a CRL: %w", err)
	}
	return d.writeMetadata(id, m)
}

// keepIndex puts an index beside its CRL. It is made anew whenever the CRL is
// read, so that it need not be durable.
func (d *disk) keepIndex(id, indexPath string) error {
	err := os.Rename(indexPath, d.path(id+indexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(d.path(id + indexSuffix)) // a small CRL has none
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the index of a CRL: %w", err)
	}
	return nil
}

func (d *disk) writeMetadata(id string, m metadata) error {
	content, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing CRL metadata: %w", err)
	}
	return d.replace(id+metadataSuffix, content)
}

// replace writes a file beside, makes it durable and renames it into place.
func (d *disk) replace(name string, content []byte) (err error) {
	file, err := os.CreateTemp(d.directory, tempPattern)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
			err = fmt.Errorf("writing %s: %w", name, err)
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), d.path(name))
	}
	if err != nil {
		return err
	}
	return d.sync()
}

// sync makes renames durable.
func (d *disk) sync() error {
	directory, err := os.Open(d.directory)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

// list returns the metadata of every CRL in the directory, by id. What cannot
// be read is left out: it is read, and complained about, when it is used.
func (d *disk) list() (map[string]metadata, error) {
	names, err := os.ReadDir(d.directory)
	if err != nil {
		return nil, fmt.Errorf("listing CRL directory: %w", err)
	}
	found := make(map[string]metadata)
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), metadataSuffix)
		if !ok {
			continue
		}
		if m, err := d.readMetadata(id); err == nil {
			found[id] = m
		}
	}
	return found, nil
}

// prune removes the CRLs that were fetched longest ago until the directory is
// within its bounds. What is in use was fetched within hours.
func (d *disk) prune() error {
	names, err := os.ReadDir(d.directory)
	if err != nil {
		return fmt.Errorf("listing CRL directory: %w", err)
	}
	type cached struct {
		id       string
		modified time.Time
		octets   int64
	}
	var files []cached
	var total int64
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), listSuffix)
		if !ok {
			continue
		}
		info, err := n.Info()
		if err != nil {
			continue // removed meanwhile
		}
		files = append(files, cached{id: id, modified: info.ModTime(), octets: info.Size()})
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b cached) int { return a.modified.Compare(b.modified) })
	for len(files) > maxFiles || total > maxDiskOctets {
		oldest := files[0]
		files, total = files[1:], total-oldest.octets
		for _, suffix := range []string{metadataSuffix, indexSuffix, listSuffix} {
			if err := os.Remove(d.path(oldest.id + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("pruning CRL directory: %w", err)
			}
		}
	}
	return nil
}

func (d *disk) path(name string) string { return filepath.Join(d.directory, name) }

func digestText(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// readBounded reads a file of at most maxBytes octets.
func readBounded(path string, maxBytes int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("%s is larger than %d octets", filepath.Base(path), maxBytes)
	}
	content := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	if _, err := content.ReadFrom(io.LimitReader(file, maxBytes)); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// decode returns the DER of a CRL that came as DER or PEM.
func decode(content []byte) ([]byte, error) {
	if len(content) > 0 && content[0] == 0x30 {
		return content, nil
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "X509 CRL" {
		return nil, errMalformed
	}
	return block.Bytes, nil
}

// derFile makes the content of a file DER when it is PEM.
func derFile(path string, maxBytes int64) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading what was fetched: %w", err)
	}
	first := make([]byte, 1)
	n, err := io.ReadFull(file, first)
	if err := file.Close(); err != nil {
		return fmt.Errorf("reading what was fetched: %w", err)
	}
	if n == 0 {
		return errors.Join(errMalformed, ignoreEOF(err))
	}
	if first[0] == 0x30 {
		return nil
	}
	content, err := readBounded(path, maxBytes)
	if err != nil {
		return fmt.Errorf("reading what was fetched: %w", err)
	}
	der, err := decode(content)
	if err != nil {
		return err
	}
	return os.WriteFile(path, der, 0o600)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
