package certstore

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Limits of the file that seals keys, in octets.
const (
	minSealBytes = 32
	maxSealBytes = 4096
)

// SealCredential is the name of the systemd credential that seals keys
// (LoadCredential= and SetCredentialEncrypted= of systemd.exec(5)).
const SealCredential = "mailpact-key-seal"

// sealedType is the label of a sealed key in PEM.
const sealedType = "MAILPACT SEALED KEY"

// sealHeader names the seal that a key was closed with, so that the wrong one
// is known from a damaged file.
const sealHeader = "Seal"

// Seal closes private keys at rest with AES-256-GCM. Its key is derived from a
// file by HKDF (RFC 5869). A nil Seal closes nothing. It is safe for concurrent
// use and however it is printed, its key does not appear.
type Seal struct {
	aead cipher.AEAD
	id   string
}

// String names the seal without its key.
func (s *Seal) String() string { return "key seal " + s.id }

// GoString is String: %#v must not reach the key.
func (s *Seal) GoString() string { return s.String() }

// OpenSeal reads the file that seals keys: at least 32 octets that nobody can
// guess. Without a path it takes the systemd credential, if there is one; then
// nil and no error means that keys lie unsealed. The error is a *FileError.
func OpenSeal(path, credentialsDirectory string) (*Seal, error) {
	if path == "" {
		if credentialsDirectory == "" {
			return nil, nil
		}
		path = filepath.Join(credentialsDirectory, SealCredential)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &FileError{File: path, Problem: "the file that seals keys cannot be opened", Mend: "Make one: (umask 077; head -c 32 /dev/urandom > " + path + "); without the old one, sealed keys stay closed", Err: cause(err)}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, &FileError{File: path, Problem: "the file that seals keys cannot be read", Err: cause(err)}
	}
	if st.Mode().Perm()&0o007 != 0 {
		return nil, &FileError{File: path, Problem: "everybody may read the file that seals keys", Mend: "Run chmod 600 " + path}
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxSealBytes+1))
	switch {
	case err != nil:
		return nil, &FileError{File: path, Problem: "the file that seals keys cannot be read", Err: cause(err)}
	case len(secret) < minSealBytes || len(secret) > maxSealBytes:
		return nil, &FileError{File: path, Problem: fmt.Sprintf("the file that seals keys must have from %d to %d octets", minSealBytes, maxSealBytes), Mend: "Make one: (umask 077; head -c 32 /dev/urandom > " + path + ")"}
	}
	return newSeal(secret)
}

func newSeal(secret []byte) (*Seal, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "mailpact key seal, AES-256-GCM", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key seal: %w", err)
	}
	id, err := hkdf.Key(sha256.New, secret, nil, "mailpact key seal, name", 6)
	if err != nil {
		return nil, fmt.Errorf("deriving the key seal's name: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making the key seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making the key seal: %w", err)
	}
	return &Seal{aead: aead, id: fmt.Sprintf("%x", id)}, nil
}

// close returns the PEM block of a PKCS #8 key: sealed, or plain without a seal.
func (s *Seal) close(pkcs8 []byte) *pem.Block {
	if s == nil {
		return &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}
	}
	return &pem.Block{Type: sealedType, Headers: map[string]string{sealHeader: s.id}, Bytes: s.aead.Seal(nil, nil, pkcs8, []byte(sealedType))}
}

// open returns what b holds, which close has made of it.
func (s *Seal) open(path string, b *pem.Block) ([]byte, error) {
	closedWith := b.Headers[sealHeader]
	if s == nil || s.id != closedWith {
		have := "there is none"
		if s != nil {
			have = "the one at hand is " + s.id
		}
		return nil, &FileError{
			File: path, Problem: fmt.Sprintf("the key is sealed with the seal %q; %s", cut(closedWith), have),
			Mend: "Give its file as server.keySealFile, or as the systemd credential " + SealCredential,
		}
	}
	plain, err := s.aead.Open(nil, nil, b.Bytes, []byte(sealedType))
	if err != nil {
		return nil, &FileError{File: path, Problem: "the sealed key is damaged", Mend: "Restore it from a backup: mailpact cert import BACKUP.pfx"}
	}
	return plain, nil
}

// plainKey is a key in the keys directory that lies unsealed.
type plainKey struct {
	base string
	key  crypto.Signer
}

// unsealed returns the keys that lie unsealed.
func (s *Store) unsealed() []plainKey {
	var out []plainKey
	for _, c := range s.All() {
		if key, ok := c.TLS.PrivateKey.(crypto.Signer); ok && c.Managed() && !c.KeySealed {
			out = append(out, plainKey{c.base, key})
		}
	}
	for _, p := range s.Pending() {
		if !p.keySealed {
			out = append(out, plainKey{p.base, p.key})
		}
	}
	return out
}

// SealKeys seals the keys in the keys directory that lie there plain, each in
// one step, and returns how many they were. The error is a *Fault without a
// seal.
func (s *Store) SealKeys() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seal == nil {
		return 0, &Fault{
			Kind: FaultState, Field: "server.keySealFile", Problem: "there is nothing to seal keys with",
			Mend: "Make (umask 077; head -c 32 /dev/urandom > FILE), write keySealFile: FILE under server, and reload",
		}
	}
	plain := s.unsealed()
	for i, p := range plain {
		if err := s.writeKey(p.base, p.key); err != nil {
			return i, errors.Join(err, s.refresh())
		}
	}
	return len(plain), s.refresh()
}
