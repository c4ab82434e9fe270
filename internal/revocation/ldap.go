package revocation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds on what an LDAP server sends besides the CRL.
const (
	maxLDAPMessages   = 16      // until the end of the search
	maxLDAPDescriptor = 8 << 10 // octets of a name, or of a message that is no entry
)

// Tags of LDAP (RFC 4511, section 4.2 and on).
const (
	ldapSearchRequest   = asn1.Tag(3) | 0x60
	ldapSearchEntry     = asn1.Tag(4) | 0x60
	ldapSearchDone      = asn1.Tag(5) | 0x60
	ldapSearchReference = asn1.Tag(19) | 0x60
)

// ldapQuery is what an LDAP address asks for (RFC 4516, section 2).
type ldapQuery struct {
	host      string // host:port; empty: the configured server
	dn        string
	attribute string
}

// parseLDAP reads an LDAP address. Only a single object is ever read, so that
// filters do not matter.
func parseLDAP(u *url.URL) (ldapQuery, error) {
	q := ldapQuery{attribute: "certificateRevocationList;binary"}
	if u.Host != "" {
		port := u.Port()
		if port == "" {
			port = "389"
		}
		q.host = net.JoinHostPort(u.Hostname(), port)
	}
	q.dn = strings.TrimPrefix(u.Path, "/")
	if q.dn == "" {
		return q, fmt.Errorf("the address %q names no object", cut(u.String()))
	}
	parts := strings.Split(u.RawQuery, "?")
	if parts[0] != "" {
		attribute, err := url.PathUnescape(parts[0])
		if err != nil || strings.Contains(attribute, ",") {
			return q, fmt.Errorf("the address %q names more than one attribute", cut(u.String()))
		}
		q.attribute = attribute
	}
	if len(parts) > 1 && parts[1] != "" && !strings.EqualFold(parts[1], "base") {
		return q, fmt.Errorf("the address %q asks for more than one object", cut(u.String()))
	}
	return q, nil
}

// fetchLDAP reads a CRL out of a directory: anonymously, one object, one
// attribute, without following referrals. The value goes to a file as it comes.
func (f *fetcher) fetchLDAP(ctx context.Context, u *url.URL) (_ *download, err error) {
	q, err := parseLDAP(u)
	if err != nil {
		return nil, err
	}
	dial := f.dialer.dial
	if q.host == "" {
		if q.host = f.settings.Load().LDAPServer; q.host == "" {
			return nil, errors.New("the address names no LDAP server; revocation.ldapServer names the one to ask")
		}
		dial = f.trusted.dial
	}
	conn, err := dial(ctx, "tcp", q.host)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	defer conn.Close()
	// The end of ctx ends whatever the connection waits for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	request, err := q.request()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, fmt.Errorf("fetching: %w", orEnded(ctx, err))
	}
	file, err := os.CreateTemp(f.directory, tempPattern)
	if err != nil {
		return nil, fmt.Errorf("making temporary file: %w", err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	r := newLDAPReader(conn, file, f.maxBytes)
	if err := r.read(q.attribute); err != nil {
		return nil, fmt.Errorf("fetching: %w", orEnded(ctx, err))
	}
	return &download{path: file.Name()}, nil
}

// orEnded returns the reason of ctx when that ended what failed.
func orEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// request is an LDAPMessage with a SearchRequest (RFC 4511, section 4.5.1). The
// attribute is asked for by its plain name too: servers differ about ";binary".
func (q ldapQuery) request() ([]byte, error) {
	plain, _, _ := strings.Cut(q.attribute, ";")
	var b cryptobyte.Builder
	text := func(b *cryptobyte.Builder, tag asn1.Tag, s string) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(ldapSearchRequest, func(b *cryptobyte.Builder) {
			text(b, asn1.OCTET_STRING, q.dn)
			b.AddASN1Enum(0) // the object itself
			b.AddASN1Enum(3) // aliases are followed
			b.AddASN1Int64(1)
			b.AddASN1Int64(0) // our own limit of time counts
			b.AddASN1Boolean(false)
			text(b, asn1.Tag(7).ContextSpecific(), "objectClass")
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				text(b, asn1.OCTET_STRING, q.attribute)
				if plain != q.attribute {
					text(b, asn1.OCTET_STRING, plain)
				} else {
					text(b, asn1.OCTET_STRING, plain+";binary")
				}
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("writing the search for a CRL: %w", err)
	}
	return der, nil
}

// ldapReader reads the answer to a search.
type ldapReader struct {
	in    *bufio.Reader
	out   io.Writer
	most  int64 // octets of the value
	wrote bool
}

func newLDAPReader(in io.Reader, out io.Writer, most int64) *ldapReader {
	return &ldapReader{in: bufio.NewReader(in), out: out, most: most}
}

var errLDAP = errors.New("the server's answer is not LDAP")

// read reads messages until the end of the search.
func (r *ldapReader) read(attribute string) error {
	plain, _, _ := strings.Cut(attribute, ";")
	for range maxLDAPMessages {
		length, err := r.header(asn1.SEQUENCE)
		if err != nil {
			return err
		}
		if length > r.most+maxLDAPDescriptor*4 {
			return fmt.Errorf("the CRL is larger than %d octets", r.most)
		}
		id, err := r.header(asn1.INTEGER)
		if err != nil {
			return err
		}
		if err := r.skip(id, 8); err != nil {
			return err
		}
		tag, err := r.in.ReadByte()
		if err != nil {
			return fmt.Errorf("the answer ended: %w", err)
		}
		content, err := r.length()
		if err != nil {
			return err
		}
		switch asn1.Tag(tag) {
		case ldapSearchEntry:
			err = r.entry(content, plain)
		case ldapSearchDone:
			return r.done(content)
		case ldapSearchReference:
			err = errors.New("the server refers to another one, which is not followed")
		default:
			err = errLDAP
		}
		if err != nil {
			return err
		}
	}
	return errLDAP
}

// entry reads a SearchResultEntry and writes the value of the attribute.
func (r *ldapReader) entry(left int64, plain string) error {
	limited := *r
	limited.in = bufio.NewReader(io.LimitReader(r.in, left))
	name, err := limited.header(asn1.OCTET_STRING)
	if err == nil {
		err = limited.skip(name, maxLDAPDescriptor)
	}
	if err == nil {
		_, err = limited.header(asn1.SEQUENCE)
	}
	if err != nil {
		return err
	}
	for {
		if _, err := limited.in.Peek(1); err != nil {
			r.wrote = limited.wrote
			return nil // the end of the entry; an end of the stream shows at the next message
		}
		if err := limited.attribute(plain); err != nil {
			return err
		}
	}
}

// attribute reads a PartialAttribute; the first value of the one wanted is kept.
func (r *ldapReader) attribute(plain string) error {
	if _, err := r.header(asn1.SEQUENCE); err != nil {
		return err
	}
	n, err := r.header(asn1.OCTET_STRING)
	if err != nil {
		return err
	}
	if n > maxLDAPDescriptor {
		return errLDAP
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(r.in, name); err != nil {
		return fmt.Errorf("the answer ended: %w", err)
	}
	found, _, _ := strings.Cut(string(name), ";")
	left, err := r.header(asn1.SET)
	if err != nil {
		return err
	}
	if !strings.EqualFold(found, plain) || r.wrote || left == 0 {
		return r.skip(left, r.most)
	}
	values := io.LimitReader(r.in, left)
	inner := ldapReader{in: bufio.NewReader(values)}
	size, err := inner.header(asn1.OCTET_STRING)
	if err != nil {
		return err
	}
	if size > r.most {
		return fmt.Errorf("the CRL is larger than %d octets", r.most)
	}
	if _, err := io.CopyN(r.out, inner.in, size); err != nil {
		return fmt.Errorf("the answer ended: %w", err)
	}
	r.wrote = true
	if _, err := io.Copy(io.Discard, inner.in); err != nil {
		return fmt.Errorf("the answer ended: %w", err)
	}
	return nil
}

// done reads an LDAPResult (RFC 4511, section 4.1.9).
func (r *ldapReader) done(left int64) error {
	if left > maxLDAPDescriptor {
		return errLDAP
	}
	content := make([]byte, left)
	if _, err := io.ReadFull(r.in, content); err != nil {
		return fmt.Errorf("the answer ended: %w", err)
	}
	result := cryptobyte.String(content)
	var code int
	if !result.ReadASN1Enum(&code) {
		return errLDAP
	}
	switch {
	case code == 10:
		return errors.New("the server refers to another one, which is not followed")
	case code == 32:
		return errors.New("the server has no such object")
	case code != 0 && code != 4: // the limit of one object was ours
		return fmt.Errorf("the server answered with LDAP result %d", code)
	case !r.wrote:
		return errors.New("the object has no CRL")
	}
	return nil
}

// header reads the tag, which must be want, and the length of an element.
func (r *ldapReader) header(want asn1.Tag) (int64, error) {
	tag, err := r.in.ReadByte()
	if err != nil {
		return 0, fmt.Errorf("the answer ended: %w", err)
	}
	if asn1.Tag(tag) != want {
		return 0, errLDAP
	}
	return r.length()
}

// length reads a length, which BER may write longer than it need be.
func (r *ldapReader) length() (int64, error) {
	first, err := r.in.ReadByte()
	if err != nil {
		return 0, fmt.Errorf("the answer ended: %w", err)
	}
	if first < 0x80 {
		return int64(first), nil
	}
	if first == 0x80 || first > 0x84 { // RFC 4511, section 5.1: definite lengths only
		return 0, errLDAP
	}
	var n int64
	for range first & 0x7f {
		b, err := r.in.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("the answer ended: %w", err)
		}
		n = n<<8 | int64(b)
	}
	return n, nil
}

// skip passes over so many octets, most at the most.
func (r *ldapReader) skip(n, most int64) error {
	if n > most {
		return errLDAP
	}
	if _, err := io.CopyN(io.Discard, r.in, n); err != nil {
		return fmt.Errorf("the answer ended: %w", err)
	}
	return nil
}
