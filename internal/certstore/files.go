package certstore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mailpact/internal/directory"
)

// Limits of the files.
const (
	maxFileBytes    = 1 << 20 // of one file, in octets
	maxCertificates = 10      // in one chain, the leaf included
)

// FileError is what is wrong with a certificate or key file, and how to mend it.
type FileError struct {
	File    string
	Problem string // without a final full stop; never holds key material
	Mend    string // without a final full stop
	Err     error  // the cause, or nil
}

// Text returns the problem and its cause.
func (e *FileError) Text() string {
	if e.Err == nil {
		return e.Problem
	}
	return e.Problem + ": " + e.Err.Error()
}

// Error returns "FILE: PROBLEM. MEND.".
func (e *FileError) Error() string {
	s := e.File + ": " + e.Text()
	if e.Mend != "" {
		s += ". " + e.Mend + "."
	}
	return s
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// load reads one pair. seal opens a sealed key; nil: none can be opened.
func load(f directory.CertificateFile, seal *Seal) (*Certificate, error) {
	chain, err := readChain(f.CertificateFile)
	if err != nil {
		return nil, err
	}
	keyPath := f.KeyFile
	if keyPath == "" {
		keyPath = f.CertificateFile
	}
	key, found, err := readKey(keyPath, seal)
	if err != nil {
		return nil, err
	}
	if err := checkKey(f.CertificateFile, keyPath, chain, key); err != nil {
		return nil, err
	}
	if err := checkOrder(f.CertificateFile, chain); err != nil {
		return nil, err
	}
	c := &Certificate{
		TLS:         &tls.Certificate{PrivateKey: key, Leaf: chain[0]},
		SelfSigned:  isSelfSigned(chain[0]),
		Services:    f.Services,
		File:        f.CertificateFile,
		KeyFile:     keyPath,
		KeySealed:   found.sealed,
		keyReadable: uint32(found.mode.Perm() & 0o077),
	}
	for _, x := range chain {
		c.TLS.Certificate = append(c.TLS.Certificate, x.Raw)
	}
	return c, nil
}

// readPEM returns the blocks of a file and its mode.
func readPEM(path string) ([]*pem.Block, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, &FileError{File: path, Problem: "the file cannot be opened", Mend: "Check the path and the rights of the user that runs mailpact", Err: cause(err)}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, &FileError{File: path, Problem: "the file cannot be read", Err: cause(err)}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, 0, &FileError{File: path, Problem: "the file cannot be read", Err: cause(err)}
	case len(data) > maxFileBytes:
		return nil, 0, &FileError{File: path, Problem: fmt.Sprintf("the file has more than %d octets", maxFileBytes), Mend: "Keep one certificate with its intermediates in it"}
	}
	var blocks []*pem.Block
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		mend := "Write a PEM file"
		if bytes.HasPrefix(data, []byte{0x30}) {
			mend = "If it is DER: openssl x509 -inform DER -in " + path + " -out " + path + ".pem"
		}
		return nil, 0, &FileError{File: path, Problem: "the file holds no PEM", Mend: mend}
	}
	return blocks, st.Mode(), nil
}

// cause takes operation and path from an error of os: FileError names the file.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func readChain(path string) ([]*x509.Certificate, error) {
	blocks, _, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		x, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, &FileError{File: path, Problem: fmt.Sprintf("certificate %d cannot be read", len(chain)+1), Mend: "Ask its issuer for the certificate in PEM", Err: err}
		}
		chain = append(chain, x)
	}
	switch {
	case len(chain) == 0:
		return nil, &FileError{File: path, Problem: fmt.Sprintf("the file holds a %s and no certificate", blocks[0].Type), Mend: "Write the certificate's file, beginning -----BEGIN CERTIFICATE-----"}
	case len(chain) > maxCertificates:
		return nil, &FileError{File: path, Problem: fmt.Sprintf("the file holds %d certificates; %d are the limit", len(chain), maxCertificates), Mend: "Keep one certificate with its intermediates in it"}
	}
	return chain, nil
}

// keyFile is how a key lay in its file.
type keyFile struct {
	mode   os.FileMode
	sealed bool
}

// readKey returns the first private key of a file. Its errors never quote what
// the file holds.
func readKey(path string, seal *Seal) (crypto.Signer, keyFile, error) {
	blocks, mode, err := readPEM(path)
	if err != nil {
		return nil, keyFile{}, err
	}
	for _, b := range blocks {
		if b.Type == sealedType {
			plain, err := seal.open(path, b)
			if err != nil {
				return nil, keyFile{}, err
			}
			if key, ok := parseKey(plain); ok {
				return key, keyFile{mode: mode, sealed: true}, nil
			}
			return nil, keyFile{}, &FileError{File: path, Problem: "what was sealed is no key"}
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return nil, keyFile{}, &FileError{File: path, Problem: "the key is protected by a password", Mend: "Take the password off: openssl pkey -in " + path + " -out NEW && chmod 600 NEW"}
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		key, ok := parseKey(b.Bytes)
		if !ok {
			return nil, keyFile{}, &FileError{File: path, Problem: "the private key cannot be read", Mend: "Check it: openssl pkey -noout -check -in " + path}
		}
		return key, keyFile{mode: mode}, nil
	}
	return nil, keyFile{}, &FileError{File: path, Problem: "the file holds no private key", Mend: "Write the key's file, beginning -----BEGIN PRIVATE KEY-----"}
}

// parseKey reads PKCS #8, SEC 1 and PKCS #1. The label of a block is often
// wrong, so all are tried.
func parseKey(der []byte) (crypto.Signer, bool) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		s, ok := k.(crypto.Signer)
		return s, ok
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, true
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, true
	}
	return nil, false
}

// checkKey refuses a key that belongs to another certificate.
func checkKey(file, keyFile string, chain []*x509.Certificate, key crypto.Signer) error {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return &FileError{File: keyFile, Problem: "the key is of a kind that TLS cannot use", Mend: "Make a new one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY"}
	}
	if public.Equal(chain[0].PublicKey) {
		return nil
	}
	for i, x := range chain[1:] {
		if public.Equal(x.PublicKey) {
			return &FileError{File: file, Problem: fmt.Sprintf("the key belongs to certificate %d of the file, not to the first", i+2), Mend: "Put the server's certificate first, then its intermediates"}
		}
	}
	return &FileError{
		File: file, Problem: "the key in " + keyFile + " belongs to another certificate",
		Mend: "These must print the same: openssl x509 -noout -pubkey -in " + file + " and openssl pkey -pubout -in " + keyFile,
	}
}

// checkOrder refuses a chain in which a certificate is not followed by its
// issuer: peers with strict libraries reject it (RFC 5246, section 7.4.2).
func checkOrder(file string, chain []*x509.Certificate) error {
	for i := range chain[:len(chain)-1] {
		child, issuer := chain[i], chain[i+1]
		if bytes.Equal(child.RawIssuer, issuer.RawSubject) && child.CheckSignatureFrom(issuer) == nil {
			continue
		}
		return &FileError{
			File:    file,
			Problem: fmt.Sprintf("certificate %d (%q) did not issue certificate %d (%q)", i+2, issuer.Subject, i+1, child.Subject),
			Mend:    "Put the server's certificate first, then the issuer of each before it, and nothing else",
		}
	}
	return nil
}

// isSelfSigned reports whether x was signed with its own key.
func isSelfSigned(x *x509.Certificate) bool {
	return bytes.Equal(x.RawIssuer, x.RawSubject) && x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature) == nil
}
