package directory

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// checkFiles looks into the PEM files that c names. Whether a key belongs to
// its certificate is for certstore to say.
func (c *Configuration) checkFiles() Faults {
	k := &checker{}
	for i, f := range c.Certificates {
		path := fmt.Sprintf("certificates[%d]", i)
		k.certificates(path+".certificateFile", f.CertificateFile)
		if f.KeyFile != f.CertificateFile {
			k.key(path+".keyFile", f.KeyFile)
		} else if f.KeyFile != "" && !k.faults.touches(path) {
			k.key(path+".certificateFile", f.KeyFile)
		}
	}
	for i, a := range c.Trust.Anchors {
		k.certificates(fmt.Sprintf("trust.anchors[%d].file", i), a.File)
	}
	for i, a := range c.Trust.Intermediates {
		k.certificates(fmt.Sprintf("trust.intermediates[%d].file", i), a.File)
	}
	return k.faults
}

// read returns the PEM blocks of a file, and false when it has said why not.
func (k *checker) read(path, file string) ([]*pem.Block, bool) {
	if file == "" {
		return nil, false // the loader has said so
	}
	data, err := readBounded(file)
	if err != nil {
		mend := "Write the path of a PEM file"
		if errors.Is(err, os.ErrPermission) {
			mend = "Give the user that runs mailpact the right to read it"
		}
		k.fault(path, fmt.Sprintf("%s: %s", printable(file), err), mend)
		return nil, false
	}
	var blocks []*pem.Block
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	if len(blocks) > 0 {
		return blocks, true
	}
	mend := "Write a PEM file"
	if bytes.HasPrefix(data, []byte{0x30}) {
		mend = fmt.Sprintf("If it is DER, run openssl x509 -inform DER -in %[1]s -out %[1]s.pem", printable(file))
	}
	k.fault(path, printable(file)+": the file holds no PEM", mend)
	return nil, false
}

func (k *checker) certificates(path, file string) {
	blocks, ok := k.read(path, file)
	if !ok {
		return
	}
	found := 0
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		found++
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			k.fault(path, fmt.Sprintf("%s: certificate %d cannot be read: %s", printable(file), found, printable(err.Error())), "Ask its issuer for the certificate in PEM")
		}
	}
	if found == 0 {
		k.fault(path, fmt.Sprintf("%s: the file holds %s and no certificate", printable(file), quoted(blocks[0].Type)), "Write the path of the certificate's file")
	}
}

func (k *checker) key(path, file string) {
	blocks, ok := k.read(path, file)
	if !ok {
		return
	}
	for _, b := range blocks {
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "":
			k.fault(path, printable(file)+": the key is protected by a password", fmt.Sprintf("Run openssl pkey -in %s -out NEW, chmod 600 NEW, and write NEW here", printable(file)))
			return
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			return
		}
	}
	k.fault(path, fmt.Sprintf("%s: the file holds %s and no private key", printable(file), quoted(blocks[0].Type)), "Write the path of the key's file in keyFile")
}
