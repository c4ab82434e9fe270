package directory

import (
	"errors"
	"net/url"
	"strings"
)

// readProxy reads the address of an HTTP proxy, or the empty value for none.
func readProxy(d *decoder, v value) (string, bool) {
	return parsed(`Write http://host:port, http://proxy.contoso.com:3128 say, or ""`, ParseProxy)(d, v)
}

// ParseProxy reads the address of an HTTP proxy, "host:port" or
// "http://host:port", and returns the latter; empty stays empty. Credentials and
// https are errors: a proxy that asks who calls is not supported.
func ParseProxy(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("is not an address")
	case u.User != nil:
		return "", errors.New("contains credentials, which are not supported")
	case u.Scheme != "http":
		return "", errors.New("is not an HTTP proxy")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("has something after the port")
	}
	hostPort, err := parseHostPort(u.Host)
	if err != nil {
		return "", err
	}
	return "http://" + hostPort, nil
}

// readHostPort reads host:port, or the empty value for none.
func readHostPort(d *decoder, v value) (string, bool) {
	return parsed(`Write a host and a port, dc1.contoso.com:389 say, or ""`, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return parseHostPort(s)
	})(d, v)
}

// readHostPattern reads one entry of a list of hosts.
func readHostPattern(d *decoder, v value) (string, bool) {
	return parsed("Write a host, *.contoso.com or <local>", ParseHostPattern)(d, v)
}

// ParseHostPattern reads an entry of ProxyBypass or ProxyAllow and returns it in
// lower case.
func ParseHostPattern(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "<local>" {
		return s, nil
	}
	if s == "" || len(s) > 255 || strings.ContainsAny(s, "<>/@ \t;,") {
		return "", errors.New("is not a host")
	}
	return s, nil
}
