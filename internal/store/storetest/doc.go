// Package storetest makes rows for tests of storage engines, and copies an
// engine's files as a kill would leave them. Only tests import it.
package storetest

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"mailpact/internal/store"
)

// Message returns a message with an envelope, n deliveries and content of size
// octets, which the number seed determines.
func Message(seed uint64, deliveries, size int) *store.Message {
	m := &store.Message{
		Received: int64(1_700_000_000_000 + seed), Size: int64(size),
		Envelope: Octets(seed, 40+int(seed%200)), Content: Octets(seed, size),
	}
	for i := range deliveries {
		m.Deliveries = append(m.Deliveries, Delivery(seed, uint32(i)))
	}
	return m
}

// Delivery returns a delivery that seed and its number determine. Its queue is
// one of seven.
func Delivery(seed uint64, seq uint32) store.Delivery {
	return store.Delivery{Seq: seq, Due: int64(seed) * 10, Queue: Queue(seed + uint64(seq)), State: Octets(seed+uint64(seq)<<32, 30)}
}

// Queue returns one of seven queue keys.
func Queue(n uint64) []byte { return []byte{'q', byte('0' + n%7)} }

// Octets returns n octets that seed determines. They are never nil.
func Octets(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 17))
	for i := 0; i < n; {
		for v, j := r.Uint64(), 0; j < 8 && i < n; i, j = i+1, j+1 {
			b[i] = byte(v)
			v >>= 8
		}
	}
	return b
}

// CopyFiles copies the files with the given suffixes of path, in this order, to
// a new directory and returns the path of the copy. Files that do not exist are
// left out.
func CopyFiles(t testing.TB, path string, suffixes ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	for _, s := range suffixes {
		if err := copyFile(path+s, to+s); err != nil && !os.IsNotExist(err) {
			t.Fatalf("copying %s: %v", path+s, err)
		}
	}
	return to
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
