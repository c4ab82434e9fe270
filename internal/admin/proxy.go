package admin

import (
	"context"
	"slices"

	"mailpact/internal/directory"
)

// ProxySettings say how CRLs are fetched over HTTP.
type ProxySettings struct {
	Proxy  string   `json:"proxy"`  // http://host:port; empty: direct
	Bypass []string `json:"bypass"` // hosts that are asked without it
}

// ProxySetRequest changes the proxy.
type ProxySetRequest struct {
	Proxy  string   `json:"proxy"` // host:port or http://host:port; empty: direct
	Bypass []string `json:"bypass,omitempty"`
	DryRun bool     `json:"dryRun,omitempty"`
}

// ProxyShow returns the proxy settings in force.
func (s *Service) ProxyShow(_ context.Context, _ Empty) (ProxySettings, error) {
	return proxySettings(s.directory.Current()), nil
}

// ProxySet changes the proxy and its bypass list, for good. The configuration
// file is not changed; what it says itself cannot be.
func (s *Service) ProxySet(ctx context.Context, q ProxySetRequest) (ProxySettings, error) {
	proxy, err := directory.ParseProxy(q.Proxy)
	if err != nil {
		return ProxySettings{}, &Error{Kind: KindInvalid, Object: "proxy", Detail: err.Error(), Fix: "mailpact proxy set proxy.contoso.com:3128"}
	}
	bypass := make([]string, 0, len(q.Bypass))
	for _, b := range q.Bypass {
		pattern, err := directory.ParseHostPattern(b)
		if err != nil {
			return ProxySettings{}, &Error{Kind: KindInvalid, Object: "bypass", Detail: b + " " + err.Error(), Fix: `Write a host, "*.contoso.com" or "<local>"`}
		}
		bypass = append(bypass, pattern)
	}
	cfg, _, err := s.changeOverlay(ctx, directory.OverlayChange{DryRun: q.DryRun, Edit: func(_ *directory.Configuration, o *directory.Overlay) error {
		if o.Revocation == nil {
			o.Revocation = directory.Entry{}
		}
		delete(o.Revocation, "proxy")
		delete(o.Revocation, "proxyBypass")
		if proxy != "" {
			o.Revocation["proxy"] = proxy
			if len(bypass) > 0 {
				o.Revocation["proxyBypass"] = bypass
			}
		}
		return nil
	}})
	if err != nil {
		return ProxySettings{}, err
	}
	return proxySettings(cfg), nil
}

func proxySettings(c *directory.Configuration) ProxySettings {
	return ProxySettings{Proxy: c.Revocation.Proxy, Bypass: append([]string{}, slices.Clone(c.Revocation.ProxyBypass)...)}
}
