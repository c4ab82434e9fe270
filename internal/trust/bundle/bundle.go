// Package bundle reads and writes partner bundles: one signed file with what an
// organisation wants its partners to know of it.
//
// A file is one JSON object with three members: the format's name, the signer's
// public key and the signature, around the contents as octets. What is signed is
// the format's name and these octets, so nothing depends on how JSON is written;
// and the contents must be the octets that Sign would write, so that two readers
// cannot see two things in them.
//
// Open answers only for the signature and the form. Whether the signer is the
// right one, and which domains may come from him, is for the caller.
//
// The parser reads strangers' bytes: everything in it has a limit.
package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

// Format is the name of the only format.
const Format = "mailpact-partner-bundle-1"

// Limits of a bundle.
const (
	MaxBytes        = 512 << 10 // of the file
	maxDomains      = 64
	maxHosts        = 64
	maxCertificates = 16 // anchors, and intermediates
	maxAddresses    = 32
	maxText         = 255 // octets of one text
	// MaxLifetime is the longest time from Issued to Expires.
	MaxLifetime = 400 * 24 * time.Hour
	// clockTolerance is by how much the signer's clock may be ahead.
	clockTolerance = 5 * time.Minute
)

// Contents are what a bundle says. Certificates are DER.
type Contents struct {
	Organization string    `json:"organization"`
	Contact      string    `json:"contact,omitempty"` // who is asked when something fails
	Sequence     uint64    `json:"sequence"`          // grows with each bundle of a signer
	Issued       time.Time `json:"issued"`            // whole seconds, UTC
	Expires      time.Time `json:"expires"`
	Domains      []string  `json:"domains"`         // A-labels in lower case
	Hosts        []string  `json:"hosts,omitempty"` // the domains' mail hosts
	// Anchors are the roots of the domains' certificates, or these certificates
	// themselves; Intermediates stand below them.
	Anchors       [][]byte `json:"anchors,omitempty"`
	Intermediates [][]byte `json:"intermediates,omitempty"`
	CRLs          []string `json:"crls,omitempty"` // addresses of CRLs that must be reachable
	// Current and Next are the certificates that the mail hosts show now and
	// will show.
	Current []byte `json:"current,omitempty"`
	Next    []byte `json:"next,omitempty"`
	Policy  Policy `json:"policy"`
}

// Policy is what the organisation asks of whoever checks its certificates.
type Policy struct {
	NameRule string   `json:"nameRule"`        // domain, exact or listed
	Names    []string `json:"names,omitempty"` // host names, with listed only
	Send     bool     `json:"send"`            // it receives over mutual TLS
	Receive  bool     `json:"receive"`         // it sends over mutual TLS
}

// Bundle is a bundle whose signature is right.
type Bundle struct {
	Contents
	// Signer is the SHA-256 of the signer's public key, lower-case hex.
	Signer string
}

// file is a bundle on the disk.
type file struct {
	Format    string          `json:"format"`
	Key       []byte          `json:"key"` // SubjectPublicKeyInfo, DER
	Signature []byte          `json:"signature"`
	Contents  json.RawMessage `json:"contents"`
}

// Fingerprint returns the SHA-256 of a public key (its SubjectPublicKeyInfo), in
// lower-case hex: what two people compare before the first bundle is believed.
func Fingerprint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding the signer's key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Sign writes a bundle. The key is Ed25519, or ECDSA on P-256.
func Sign(c Contents, key crypto.Signer) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	contents, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	message, options := signed(contents), crypto.SignerOpts(crypto.Hash(0))
	if _, isECDSA := key.Public().(*ecdsa.PublicKey); isECDSA {
		sum := sha256.Sum256(message)
		message, options = sum[:], crypto.SHA256
	}
	signature, err := key.Sign(rand.Reader, message, options)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	if err := verify(public, signature, contents); err != nil {
		return nil, err
	}
	out, err := json.Marshal(file{Format: Format, Key: public, Signature: signature, Contents: contents})
	if err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	if len(out) > MaxBytes {
		return nil, fmt.Errorf("the bundle would have %d octets; %d is the limit", len(out), MaxBytes)
	}
	return append(out, '\n'), nil
}

// signed returns what the signature covers.
func signed(contents []byte) []byte { return append([]byte(Format+"\n"), contents...) }

// Open reads a bundle and checks its signature, its form, and that it counts now.
func Open(data []byte, now time.Time) (*Bundle, error) {
	if len(data) > MaxBytes+1 {
		return nil, fmt.Errorf("the bundle has more than %d octets", MaxBytes)
	}
	var f file
	if err := strict(data, &f); err != nil {
		return nil, fmt.Errorf("the file is no partner bundle: %w", err)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("the file has the format %q; this version reads %s", cut(f.Format), Format)
	}
	if err := verify(f.Key, f.Signature, f.Contents); err != nil {
		return nil, err
	}
	var b Bundle
	if err := strict(f.Contents, &b.Contents); err != nil {
		return nil, fmt.Errorf("reading the contents: %w", err)
	}
	again, err := json.Marshal(b.Contents)
	if err != nil || !bytes.Equal(again, f.Contents) {
		return nil, errors.New("the contents are not written in the one form that counts")
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	switch {
	case now.Add(clockTolerance).Before(b.Issued):
		return nil, fmt.Errorf("the bundle is from the future, %s: compare the clocks", b.Issued.Format(time.RFC3339))
	case !now.Before(b.Expires):
		return nil, fmt.Errorf("the bundle ended on %s: ask the partner for a new one", b.Expires.Format(time.RFC3339))
	}
	sum := sha256.Sum256(f.Key)
	b.Signer = hex.EncodeToString(sum[:])
	return &b, nil
}

// verify checks a signature. The key's octets must be the only ones for that key,
// because their hash is its name.
func verify(public, signature, contents []byte) error {
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return errors.New("the signer's key cannot be read")
	}
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, public) {
		return errors.New("the signer's key is not written in the one form that counts")
	}
	ok := false
	switch k := key.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, signed(contents), signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(signed(contents))
		ok = k.Curve == elliptic.P256() && ecdsa.VerifyASN1(k, sum[:], signature)
	}
	if !ok {
		return errors.New("the signature is not right: the file was changed, or cut, since it was signed")
	}
	return nil
}

// strict reads one JSON value without unknown members and without anything behind.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(cut(err.Error()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind its end")
	}
	return nil
}

// check holds the contents against the limits and the form of each value.
func (c *Contents) check() error {
	for _, t := range []struct{ name, text string }{{"organization", c.Organization}, {"contact", c.Contact}} {
		if len(t.text) > maxText || strings.ContainsFunc(t.text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
			return fmt.Errorf("%s is longer than %d octets, or holds control characters", t.name, maxText)
		}
	}
	for _, l := range []struct {
		name        string
		have, limit int
	}{
		{"domains", len(c.Domains), maxDomains},
		{"hosts", len(c.Hosts), maxHosts},
		{"anchors", len(c.Anchors), maxCertificates},
		{"intermediates", len(c.Intermediates), maxCertificates},
		{"crls", len(c.CRLs), maxAddresses},
		{"policy.names", len(c.Policy.Names), maxHosts},
	} {
		if l.have > l.limit {
			return fmt.Errorf("there are %d %s; %d is the limit", l.have, l.name, l.limit)
		}
	}
	switch {
	case c.Organization == "":
		return errors.New("organization is empty")
	case len(c.Domains) == 0:
		return errors.New("no domain is named")
	case c.Sequence == 0 || c.Sequence > 1<<62:
		return errors.New("sequence is not a number that can grow")
	case !wholeSeconds(c.Issued) || !wholeSeconds(c.Expires) || !c.Expires.After(c.Issued) || c.Expires.Sub(c.Issued) > MaxLifetime:
		return fmt.Errorf("issued and expires must be whole seconds (UTC), at most %d days apart", MaxLifetime/(24*time.Hour))
	}
	return errors.Join(c.checkNames(), c.checkCertificates(), c.checkPolicy())
}

func wholeSeconds(t time.Time) bool {
	return t.Nanosecond() == 0 && t.Location() == time.UTC && t.Year() > 2000 && t.Year() < 9000
}

func (c *Contents) checkNames() error {
	for _, list := range []struct {
		name  string
		names []string
	}{{"domains", c.Domains}, {"hosts", c.Hosts}, {"policy.names", c.Policy.Names}} {
		for i, n := range list.names {
			d, err := smtp.ParseDomain(n)
			if err != nil || string(d) != n {
				return fmt.Errorf("%s: %q is not a domain in lower case", list.name, cut(n))
			}
			if slices.Contains(list.names[:i], n) {
				return fmt.Errorf("%s: %q is listed twice", list.name, cut(n))
			}
		}
	}
	for _, a := range c.CRLs {
		if len(a) > maxText || !strings.HasPrefix(a, "http://") && !strings.HasPrefix(a, "ldap://") {
			return fmt.Errorf("crls: %q is not an address of http or ldap", cut(a))
		}
	}
	return nil
}

func (c *Contents) checkCertificates() error {
	for _, list := range []struct {
		name  string
		certs [][]byte
	}{{"anchors", c.Anchors}, {"intermediates", c.Intermediates}, {"current", present(c.Current)}, {"next", present(c.Next)}} {
		for i, der := range list.certs {
			if _, err := x509.ParseCertificate(der); err != nil {
				return fmt.Errorf("%s: certificate %d cannot be read", list.name, i+1)
			}
		}
	}
	return nil
}

func (c *Contents) checkPolicy() error {
	switch c.Policy.NameRule {
	case "domain", "exact", "listed":
	default:
		return fmt.Errorf("policy.nameRule is %q; domain, exact and listed are known", cut(c.Policy.NameRule))
	}
	if (c.Policy.NameRule == "listed") != (len(c.Policy.Names) > 0) {
		return errors.New("policy.names go with nameRule listed, and it with them")
	}
	if !c.Policy.Send && !c.Policy.Receive {
		return errors.New("the policy secures neither direction")
	}
	return nil
}

func present(der []byte) [][]byte {
	if len(der) == 0 {
		return nil
	}
	return [][]byte{der}
}

// cut makes strangers' text short enough for a message, which quotes it.
func cut(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
