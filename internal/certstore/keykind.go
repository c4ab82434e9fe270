package certstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
)

// KeyKind is an algorithm and size of a key. The zero value is KeyP256.
type KeyKind string

// The kinds of keys that are made here.
const (
	KeyP256    KeyKind = "P256"
	KeyP384    KeyKind = "P384"
	KeyRSA2048 KeyKind = "RSA2048"
	KeyRSA3072 KeyKind = "RSA3072"
	KeyRSA4096 KeyKind = "RSA4096"
)

// ParseKeyKind reads a kind in any case, with or without a hyphen; "" is
// KeyP256. The error is a *Fault.
func ParseKeyKind(s string) (KeyKind, error) {
	switch k := KeyKind(strings.ReplaceAll(strings.ToUpper(s), "-", "")); k {
	case "", KeyP256:
		return KeyP256, nil
	case KeyP384, KeyRSA2048, KeyRSA3072, KeyRSA4096:
		return k, nil
	case "1024", "RSA1024":
		return "", &Fault{Field: "key", Problem: "1024 bits are too few: partners refuse such keys", Mend: "Write P256, P384, RSA2048, RSA3072 or RSA4096"}
	case "2048", "3072", "4096": // as the described system writes it
		return "RSA" + k, nil
	}
	return "", &Fault{Field: "key", Problem: fmt.Sprintf("%q is no kind of key", cut(s)), Mend: "Write P256, P384, RSA2048, RSA3072 or RSA4096"}
}

// generate makes a key.
func (k KeyKind) generate() (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch k {
	case KeyP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case KeyRSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case KeyRSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case KeyRSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// kindOf returns the kind of a public key that a renewal should have again.
func kindOf(public crypto.PublicKey) KeyKind {
	switch k := public.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits > 3072:
			return KeyRSA4096
		case bits > 2048:
			return KeyRSA3072
		default:
			return KeyRSA2048
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return KeyP384
		}
	}
	return KeyP256
}

// KeyText names the kind and size of a public key for people: "RSA 2048".
func KeyText(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", public), "*")
}
