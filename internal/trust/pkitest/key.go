package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
)

// KeyType says what kind of key to make.
type KeyType uint8

// The kinds. The zero value is ECDSA P-256, which is quick to make.
const (
	P256 KeyType = iota
	P224         // weak
	P384
	Ed25519
	RSA1024 // weak
	RSA2048
)

// NewKey makes a private key.
func NewKey(t testing.TB, k KeyType) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch k {
	case P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P224:
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case RSA1024:
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("pkitest: unknown key type %d", k)
	}
	if err != nil {
		t.Fatalf("pkitest: making key: %v", err)
	}
	return key
}

// HugeRSA returns a public RSA key of the given bits. Nobody holds its private
// key: it serves to make certificates that cost much to verify against.
func HugeRSA(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}
