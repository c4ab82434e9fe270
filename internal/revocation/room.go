package revocation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// smallList is the size up to which a CRL and its index are kept in memory;
// larger ones stay in files.
const smallList = 256 << 10

// octets is where a table is: in memory or in an open file.
type octets struct {
	memory []byte
	file   *mappedFile // nil: memory counts
	base   int64       // offset in the file
}

// read fills b from an offset on and returns how much there was.
func (o octets) read(b []byte, offset int64) (int, error) {
	if o.file == nil {
		if offset >= int64(len(o.memory)) {
			return 0, nil
		}
		return copy(b, o.memory[offset:]), nil
	}
	for {
		n, err := unix.Pread(o.file.descriptor, b, o.base+offset)
		runtime.KeepAlive(o.file)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// room is where an index is made.
type room interface {
	// allocate returns so many octets, all zero.
	allocate(octets int) ([]byte, error)
	// settle ends the writing. It returns the first front octets of what was
	// allocated, what begins at positions, and the CRL.
	settle(front, positions int) ([]byte, octets, octets, error)
}

// memoryRoom keeps a CRL and its index in memory.
type memoryRoom struct{ crl, table []byte }

func (r *memoryRoom) allocate(n int) ([]byte, error) {
	r.table = make([]byte, n)
	return r.table, nil
}

func (r *memoryRoom) settle(front, positions int) ([]byte, octets, octets, error) {
	return r.table[:front], octets{memory: r.table[positions:]}, octets{memory: r.crl}, nil
}

// fileRoom keeps the index in a file and leaves the CRL in its own.
type fileRoom struct {
	crl   *os.File // read at the place; the index keeps a descriptor of its own
	path  string   // of the index, which is made
	file  *os.File
	table []byte
}

// allocate makes the file and maps it. Its octets are written, not left to a
// hole: on a full disk that is an error here and not a signal later.
func (r *fileRoom) allocate(n int) (_ []byte, err error) {
	// Never the file that is there: it may be mapped.
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if r.file, err = os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	zeros := make([]byte, 64<<10)
	for left := n; left > 0; left -= len(zeros) {
		if _, err := r.file.Write(zeros[:min(left, len(zeros))]); err != nil {
			return nil, err
		}
	}
	r.table, err = unix.Mmap(int(r.file.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return r.table, err
}

func (r *fileRoom) settle(front, positions int) ([]byte, octets, octets, error) {
	if err := r.release(); err != nil {
		return nil, octets{}, octets{}, err
	}
	table, err := openMapped(r.file, front)
	if err != nil {
		return nil, octets{}, octets{}, err
	}
	crl, err := openMapped(r.crl, 0)
	if err != nil {
		return nil, octets{}, octets{}, err
	}
	return table.memory, octets{file: table, base: int64(positions)}, octets{file: crl}, nil
}

// release unmaps what was written.
func (r *fileRoom) release() error {
	if r.table == nil {
		return nil
	}
	table := r.table
	r.table = nil
	return unix.Munmap(table)
}

// close ends the use of the room; an index that was made stays.
func (r *fileRoom) close() error {
	err := r.release()
	if r.file == nil {
		return err
	}
	return errors.Join(err, r.file.Close())
}

// mappedFile is an open file, a part of it mapped. It is closed when nobody
// holds it any longer: a list may be in use by many when another replaces it.
type mappedFile struct {
	descriptor int
	memory     []byte
}

// openMapped takes a descriptor of its own for file and maps its first octets.
func openMapped(file *os.File, octets int) (*mappedFile, error) {
	descriptor, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("keeping %s open: %w", file.Name(), err)
	}
	m := &mappedFile{descriptor: descriptor}
	if octets > 0 {
		if m.memory, err = unix.Mmap(descriptor, 0, octets, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return nil, errors.Join(fmt.Errorf("mapping %s: %w", file.Name(), err), unix.Close(descriptor))
		}
	}
	runtime.AddCleanup(m, func(held heldFile) {
		if held.memory != nil {
			_ = unix.Munmap(held.memory) // nobody is left to be told
		}
		_ = unix.Close(held.descriptor)
	}, heldFile{descriptor: m.descriptor, memory: m.memory})
	return m, nil
}

// heldFile is what a mappedFile gives back.
type heldFile struct {
	descriptor int
	memory     []byte
}

// scratch is memory that is given back at once, not when it is collected.
type scratch struct {
	words  []uint64
	mapped []byte // nil: words is ordinary memory
}

// newScratch makes room for so many words. What is not written takes no memory.
func newScratch(words int64) (scratch, error) {
	if words*8 <= smallList {
		return scratch{words: make([]uint64, words)}, nil
	}
	mapped, err := unix.Mmap(-1, 0, int(words*8), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return scratch{}, fmt.Errorf("making room for %d entries: %w", words, err)
	}
	return scratch{words: unsafe.Slice((*uint64)(unsafe.Pointer(&mapped[0])), words), mapped: mapped}, nil
}

func (s *scratch) free() {
	if s.mapped != nil {
		_ = unix.Munmap(s.mapped) // it was mapped by newScratch
	}
	s.words, s.mapped = nil, nil
}
