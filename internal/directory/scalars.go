package directory

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"mailpact/internal/smtp"
)

// maxTextLength bounds every single value of the file, in octets.
const maxTextLength = 1024

// readText reads a single value as it is written.
func readText(d *decoder, v value) (string, bool) {
	if v.isNull() {
		d.fault(v, "the key has no value", "Write a value, or delete the key")
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode {
		d.fault(v, "a single value is wanted, not "+v.kindName(), "Write one value after the colon")
		return "", false
	}
	s := v.node.Value
	if len(s) > maxTextLength {
		d.fault(v, fmt.Sprintf("the value has %d octets; %d is the limit", len(s), maxTextLength), "Shorten it")
		return "", false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			d.fault(v, "the value holds a line end or another control character", "Write it on one line")
			return "", false
		}
	}
	return s, true
}

// parsed makes a reader from a function whose error says what is wrong with
// the text; mend says what is accepted.
func parsed[V any](mend string, parse func(string) (V, error)) reader[V] {
	return func(d *decoder, v value) (V, bool) {
		var zero V
		s, ok := readText(d, v)
		if !ok {
			return zero, false
		}
		x, err := parse(s)
		if err == nil {
			return x, true
		}
		problem := quoted(s) + " " + err.Error()
		var m *mendableError
		if errors.As(err, &m) {
			d.fault(v, quoted(s)+" "+m.problem, m.mend)
			return zero, false
		}
		d.fault(v, problem, mend)
		return zero, false
	}
}

// mendableError is an error of a parse function that knows its own mend.
type mendableError struct{ problem, mend string }

func (e *mendableError) Error() string { return e.problem }

func readBool(d *decoder, v value) (bool, bool) {
	s, ok := readText(d, v)
	if !ok {
		return false, false
	}
	switch s {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	d.fault(v, quoted(s)+" is neither true nor false", "Write true or false")
	return false, false
}

// choice reads one of the words of known; those of unavailable are refused by
// name, because their feature is not built.
func choice[V ~string](known []V, unavailable ...string) reader[V] {
	return func(d *decoder, v value) (V, bool) {
		s, ok := readText(d, v)
		if !ok {
			return "", false
		}
		words := make([]string, len(known))
		for i, k := range known {
			if string(k) == s {
				return k, true
			}
			words[i] = string(k)
		}
		mend := "Write " + oneOf(words)
		for _, u := range unavailable {
			if !strings.EqualFold(u, s) {
				continue
			}
			if strings.HasSuffix(v.path, "]") {
				mend = "Delete it from the list"
			}
			d.fault(v, quoted(s)+" is not available in this version", mend)
			return "", false
		}
		if near := nearest(s, words); near != "" {
			mend = fmt.Sprintf("Did you mean %s?", quoted(near))
		}
		d.fault(v, quoted(s)+" is not accepted here", mend)
		return "", false
	}
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// orNone reads a list of words, or the single word None for an empty list.
func orNone[V ~string](read reader[V]) reader[[]V] {
	list := listOf(read)
	return func(d *decoder, v value) ([]V, bool) {
		items := d.elements(v)
		for _, e := range items {
			if e.node.Kind == yaml.ScalarNode && e.node.Value == "None" {
				if len(items) > 1 {
					d.fault(e, "None stands alone", "Delete it, or the others")
					return nil, false
				}
				return nil, true
			}
		}
		if v.node.Kind != yaml.SequenceNode && !v.isNull() {
			return nil, false // elements has said so
		}
		return list(d, v)
	}
}

// readSize reads a limit in octets.
func readSize(d *decoder, v value) (int64, bool) {
	return parsed(`Write a number with B, KB, MB, GB or TB, "10MB" say, or "unlimited"`, func(s string) (int64, error) {
		n, err := ParseSize(s)
		switch {
		case errors.Is(err, errRange):
			return 0, errors.New("is too large")
		case err != nil:
			if _, digits := parseDigits(s); digits == nil {
				return 0, &mendableError{"is a size without a unit", fmt.Sprintf("Write %sB, %sKB or %sMB", s, s, s)}
			}
			return 0, errors.New("is not a size")
		case n == 0:
			return 0, errors.New("would let nothing through")
		}
		return n, nil
	})(d, v)
}

// readTimeout reads a limit of time: longer than nothing, or unlimited.
func readTimeout(d *decoder, v value) (time.Duration, bool) {
	return parsed(`Write a number with d, h, m or s, "1m30s" say, or "unlimited"`, func(s string) (time.Duration, error) {
		t, err := parseWrittenDuration(s)
		if err == nil && t == 0 {
			return 0, errors.New("is no time at all")
		}
		return t, err
	})(d, v)
}

// readSwitchedTime reads a time that 0 switches off.
func readSwitchedTime(d *decoder, v value) (time.Duration, bool) {
	return parsed(`Write a number with d, h, m or s, "1h" say, "unlimited", or 0 for off`, parseWrittenDuration)(d, v)
}

// readInterval reads how often something is done: it has an end.
func readInterval(d *decoder, v value) (time.Duration, bool) {
	return parsed(`Write a number with d, h, m or s, "1m30s" say`, func(s string) (time.Duration, error) {
		t, err := parseWrittenDuration(s)
		switch {
		case err != nil:
			return 0, err
		case t == Unlimited:
			return 0, errors.New("is not an interval")
		case t < time.Second:
			return 0, errors.New("is shorter than a second")
		}
		return t, nil
	})(d, v)
}

func parseWrittenDuration(s string) (time.Duration, error) {
	t, err := ParseDuration(s)
	switch {
	case errors.Is(err, errRange):
		return 0, errors.New("is too long")
	case err == nil:
		return t, nil
	}
	if span, ok := fromTimeSpan(s); ok {
		return 0, &mendableError{"is not how a duration is written here", "Write " + FormatDuration(span)}
	}
	if _, digits := parseDigits(s); digits == nil {
		return 0, &mendableError{"is a duration without a unit", fmt.Sprintf("Write %ss, %sm or %sh", s, s, s)}
	}
	return 0, errors.New("is not a duration")
}

// readCount reads a limit that counts: a number from 1, or unlimited.
func readCount(d *decoder, v value) (int64, bool) {
	return parsed(`Write a number from 1, or "unlimited"`, func(s string) (int64, error) {
		n, err := parseCount(s)
		if err == nil && n == 0 {
			return 0, errors.New("would let nothing through")
		}
		return n, err
	})(d, v)
}

// readTries reads how often something is tried: a number from 0, or unlimited.
func readTries(d *decoder, v value) (int, bool) {
	return parsed(`Write a number from 0, or "unlimited"`, func(s string) (int, error) {
		n, err := parseCount(s)
		return int(min(n, math.MaxInt)), err
	})(d, v)
}

// readConnections reads how many of something there may be at a time: a number
// from 1, or unlimited.
func readConnections(d *decoder, v value) (int, bool) {
	n, ok := readCount(d, v)
	return int(min(n, math.MaxInt)), ok
}

func parseCount(s string) (int64, error) {
	if strings.EqualFold(s, unlimitedWord) {
		return Unlimited, nil
	}
	n, err := parseDigits(s)
	switch {
	case errors.Is(err, errRange):
		return 0, errors.New("is too large")
	case err != nil:
		return 0, errors.New("is not a number")
	}
	return n, nil
}

func readPort(d *decoder, v value) (int, bool) {
	return parsed("Write a number from 1 to 65535", func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("is not a port")
		}
		return int(n), nil
	})(d, v)
}

// readDomain reads a domain: no address, no wildcard, no final dot.
func readDomain(d *decoder, v value) (smtp.Domain, bool) {
	return parsed("Write a domain like contoso.com", parseDomain)(d, v)
}

// parseDomain is stricter than smtp.ParseDomain, because a file is written by
// somebody who can be asked to write it right.
func parseDomain(s string) (smtp.Domain, error) {
	switch {
	case s == "":
		return "", errors.New("is empty")
	case strings.Contains(s, "@"):
		return "", &mendableError{"is an address, not a domain", "Write only what stands after the @"}
	case strings.Contains(s, "*"):
		return "", &mendableError{"holds a wildcard, which is not supported here", "Write each domain; a subdomain is an entry of its own"}
	case strings.HasSuffix(s, "."):
		return "", &mendableError{"ends in a dot", "Write it without the dot"}
	case strings.HasPrefix(s, "["):
		return "", errors.New("is an address literal, not a domain")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", errors.New("is an IP address, not a domain")
	}
	d, err := smtp.ParseDomain(s)
	if err != nil || d == "" {
		return "", errors.New("is not a domain")
	}
	return d, nil
}

func readMailbox(d *decoder, v value) (smtp.Mailbox, bool) {
	return parsed("Write an address like postmaster@contoso.com", func(s string) (smtp.Mailbox, error) {
		m, err := smtp.ParseMailbox(s)
		if err != nil || (m.Domain == "" && m.Literal == "") {
			return smtp.Mailbox{}, errors.New("is not an address")
		}
		return m, nil
	})(d, v)
}

// readPath reads a path and makes it absolute: a relative one belongs to the
// directory of the file.
func readPath(d *decoder, v value) (string, bool) {
	s, ok := readText(d, v)
	if !ok {
		return "", false
	}
	if s == "" {
		d.fault(v, "the path is empty", "Write a path, absolute or relative to this file")
		return "", false
	}
	return absolute(d.base, s), true
}

// readOptionalPath is readPath for a key whose empty value means the default.
func readOptionalPath(d *decoder, v value) (string, bool) {
	if v.node.Kind == yaml.ScalarNode && v.node.Value == "" && !v.isNull() {
		return "", true
	}
	return readPath(d, v)
}

func absolute(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

// fromWorkingDirectory makes a path of the command line absolute. Where there is
// no working directory it stays as it is, and Validate refuses it.
func fromWorkingDirectory(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// readResolver reads the address of a DNS server, port 53 unless written.
func readResolver(d *decoder, v value) (netip.AddrPort, bool) {
	return parsed("Write an address with a port, 127.0.0.1:5300 or [2001:db8::1]:53 say", func(s string) (netip.AddrPort, error) {
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			return netip.AddrPortFrom(a, 53), nil
		}
		ap, err := netip.ParseAddrPort(s)
		if err != nil || ap.Port() == 0 {
			return netip.AddrPort{}, errors.New("is not the address of a DNS server")
		}
		return ap, nil
	})(d, v)
}

// readListenAddress reads host:port where host is an address or empty.
func readListenAddress(d *decoder, v value) (string, bool) {
	return parsed("Write an address with a port, 0.0.0.0:25 or [::1]:2525 or :25 say", parseListenAddress)(d, v)
}

func parseListenAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, e := netip.ParseAddr(s); e == nil {
			return "", &mendableError{"has no port", "Write " + net.JoinHostPort(s, "25")}
		}
		return "", errors.New("is not an address with a port")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", errors.New("has no port from 0 to 65535")
	}
	port = strconv.FormatUint(n, 10) // connectors share a binding that is written alike
	if host == "" {
		return net.JoinHostPort("", port), nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return "", errors.New("names a host where an address is wanted")
	}
	return net.JoinHostPort(a.String(), port), nil
}

// readCertificateName reads a CertificateName, or the empty value for none.
func readCertificateName(d *decoder, v value) (CertificateName, bool) {
	return parsed("Write <I>ISSUER<S>SUBJECT as mailpact cert show prints them, a host name or a thumbprint", func(s string) (CertificateName, error) {
		if s == "" {
			return "", nil
		}
		return ParseCertificateName(s)
	})(d, v)
}
