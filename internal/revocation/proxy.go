package revocation

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// viaProxy carries out HTTP requests, through the configured proxy or around it.
type viaProxy struct {
	direct, proxied http.RoundTripper
	fetcher         *fetcher
}

// RoundTrip sends one request. A redirect is one more request.
func (v viaProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	if v.proxied == nil || bypassed(v.fetcher.settings.Load().ProxyBypass, host) {
		return v.direct.RoundTrip(r)
	}
	if err := v.fetcher.vet(r.Context(), host); err != nil {
		return nil, err
	}
	return v.proxied.RoundTrip(r)
}

// vet returns nil when the proxy may be asked for a host: an administrator has
// listed it, or we have resolved it and none of its addresses is inside. The
// proxy resolves the name again, which is why one forbidden address is enough.
func (f *fetcher) vet(ctx context.Context, host string) error {
	if matchesAny(f.settings.Load().ProxyAllow, host) {
		return nil
	}
	addresses, err := f.dialer.found(ctx, host)
	if err != nil {
		return fmt.Errorf("%w; revocation.proxyAllow lists hosts that the proxy may resolve", err)
	}
	for _, a := range addresses {
		if err := f.dialer.check(a.Unmap()); err != nil {
			return err
		}
	}
	return nil
}

// client returns the HTTP client of one fetch. It is not shared, because an
// http.Transport detaches its dials from the request: a dial would go on after
// the fetch it was for, and would not see its deadline.
func (f *fetcher) client(ctx context.Context) (*http.Client, error) {
	v := viaProxy{direct: transport(ctx, f.dialer, nil), fetcher: f}
	if f.settings.Load().Proxy != "" {
		u, err := url.Parse(f.settings.Load().Proxy)
		if err != nil {
			return nil, fmt.Errorf("reading revocation.proxy: %w", err)
		}
		v.proxied = transport(ctx, f.trusted, u)
	}
	return &http.Client{CheckRedirect: checkRedirect, Transport: v}, nil
}

func transport(ctx context.Context, d *dialer, proxy *url.URL) *http.Transport {
	t := &http.Transport{
		DialContext: func(_ context.Context, network, hostPort string) (net.Conn, error) {
			return d.dial(ctx, network, hostPort)
		},
		// What the environment says of proxies is not the administrator's word.
		Proxy: nil,
		// A compressed answer could unpack to any size; none is asked for or accepted.
		DisableCompression:     true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t
}

// bypassed reports whether a host is asked without the proxy. "<local>" stands
// for every name without a dot.
func bypassed(list []string, host string) bool {
	_, err := netip.ParseAddr(host)
	local := err != nil && !strings.Contains(host, ".")
	for _, p := range list {
		if strings.EqualFold(p, "<local>") && local {
			return true
		}
	}
	return matchesAny(list, host)
}

// matchesAny reports whether a host is on a list, in which * stands for any octets.
func matchesAny(list []string, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, p := range list {
		if matches(strings.ToLower(p), host) {
			return true
		}
	}
	return false
}

// matches compares a host with a pattern.
func matches(pattern, host string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == host
	}
	if !strings.HasPrefix(host, first) {
		return false
	}
	host = host[len(first):]
	parts := strings.Split(rest, "*")
	for _, p := range parts[:len(parts)-1] {
		i := strings.Index(host, p)
		if i < 0 {
			return false
		}
		host = host[i+len(p):]
	}
	return strings.HasSuffix(host, parts[len(parts)-1])
}
