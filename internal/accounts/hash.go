package accounts

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What Line writes: 19 MB and two passes take 20 ms of one processor.
const (
	defaultMemoryKB = 19 << 10
	defaultPasses   = 2
	defaultThreads  = 1
	saltBytes       = 16
	keyBytes        = 32
)

// What a hash in the file may ask for: less is guessed too fast, more would let
// a handful of clients take the machine's memory.
const (
	minMemoryKB, maxMemoryKB = 8 << 10, 64 << 10
	minPasses, maxPasses     = 1, 10
	minThreads, maxThreads   = 1, 4
	minSaltBytes             = 8
	minKeyBytes              = 16
	maxStringBytes           = 64 // of salt and key
)

// hash is what a password is compared with.
type hash struct {
	memoryKB, passes uint32
	threads          uint8
	salt, key        []byte
}

// newHash hashes a password with a salt of its own.
func newHash(password string) hash {
	h := hash{memoryKB: defaultMemoryKB, passes: defaultPasses, threads: defaultThreads, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(h.salt) // it never fails
	h.key = h.of(password, keyBytes)
	return h
}

func (h *hash) of(password string, length int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memoryKB, h.threads, uint32(length))
}

// matches compares in a time that does not depend on the password.
func (h *hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, len(h.key)), h.key) == 1
}

// String returns the hash in the PHC string format.
func (h *hash) String() string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memoryKB, h.passes, h.threads, e.EncodeToString(h.salt), e.EncodeToString(h.key))
}

// errNoHash says what a hash must look like.
var errNoHash = errors.New("it is not an argon2id hash: $argon2id$v=19$m=...,t=...,p=...$SALT$KEY")

// parseHash reads what String writes.
func parseHash(text string) (hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return hash{}, errNoHash
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return hash{}, fmt.Errorf("its argon2 version is not v=%d", argon2.Version)
	}
	var h hash
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return hash{}, errNoHash
	}
	memory, err1 := cost(costs[0], "m", minMemoryKB, maxMemoryKB)
	passes, err2 := cost(costs[1], "t", minPasses, maxPasses)
	threads, err3 := cost(costs[2], "p", minThreads, maxThreads)
	if err := errors.Join(err1, err2, err3); err != nil {
		return hash{}, err
	}
	h.memoryKB, h.passes, h.threads = uint32(memory), uint32(passes), uint8(threads)
	var err error
	if h.salt, err = octets(parts[4], "salt", minSaltBytes); err != nil {
		return hash{}, err
	}
	if h.key, err = octets(parts[5], "key", minKeyBytes); err != nil {
		return hash{}, err
	}
	return h, nil
}

func cost(text, name string, least, most uint64) (uint64, error) {
	digits, ok := strings.CutPrefix(text, name+"=")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, errNoHash
	}
	if n < least || n > most {
		return 0, fmt.Errorf("its %s=%d is not between %d and %d", name, n, least, most)
	}
	return n, nil
}

func octets(text, name string, least int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errNoHash
	}
	if len(b) < least || len(b) > maxStringBytes {
		return nil, fmt.Errorf("its %s has %d octets and not %d to %d", name, len(b), least, maxStringBytes)
	}
	return b, nil
}
