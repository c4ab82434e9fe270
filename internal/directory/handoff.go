package directory

import (
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
)

// The beginnings of a hand-off by LMTP (RFC 2033). One by SMTP has none.
const (
	HandOffLMTP       = "lmtp://"      // followed by host:port
	HandOffLMTPSocket = "lmtp+unix://" // followed by the absolute path of a socket
)

// maxSocketPathBytes is the longest path of a Unix socket without its NUL.
const maxSocketPathBytes = 107

// readHandOff reads where an accepted domain's mail goes and returns it in the
// form of AcceptedDomain.HandOff.
func readHandOff(d *decoder, v value) (string, bool) {
	return parsed(`Write "smtp://host:port", "lmtp://host:port" or "lmtp+unix:///path"`, parseHandOff)(d, v)
}

func parseHandOff(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return "", errors.New("is not a hand-off")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("holds more than a place to hand mail to")
	}
	switch u.Scheme {
	case "smtp":
		return parseHandOffHost(u, "25")
	case "lmtp":
		host, err := parseHandOffHost(u, "24")
		if err == nil && strings.HasSuffix(host, ":25") {
			err = errors.New("is LMTP on the port of SMTP") // RFC 2033, section 3
		}
		return HandOffLMTP + host, err
	case "lmtp+unix":
		return parseHandOffSocket(u)
	}
	return "", errors.New("is a hand-off of an unknown kind")
}

func parseHandOffHost(u *url.URL, port string) (string, error) {
	if u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", errors.New("holds more or less than a host and a port")
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), port)
	}
	return parseHostPort(host)
}

func parseHandOffSocket(u *url.URL) (string, error) {
	switch p := u.Path; {
	case u.Host != "" || u.Opaque != "" || !path.IsAbs(p) || path.Clean(p) != p || p == "/":
		return "", errors.New("is not the absolute path of a socket")
	case len(p) > maxSocketPathBytes:
		return "", errors.New("is a path longer than that of any socket")
	default:
		return HandOffLMTPSocket + p, nil
	}
}
