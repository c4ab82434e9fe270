package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/directory"
)

const (
	// maxRedirects is how many redirects a fetch follows; each is guarded as the first address is.
	maxRedirects = 3
	// maxResponseHeaderBytes bounds the header of a response.
	maxResponseHeaderBytes = 64 << 10
	// maxFetches bounds the fetches that run at a time.
	maxFetches = 64
	// maxFetchesPerHost keeps one slow server from taking them all.
	maxFetchesPerHost = 4
	// tempPattern names the files that a download is written to.
	tempPattern = "fetch-*.tmp"
)

// errNotModified means that the server has nothing newer than what we hold.
var errNotModified = errors.New("not modified")

// fetcher downloads CRLs to files.
type fetcher struct {
	dialer    *dialer                               // to what certificates name
	trusted   *dialer                               // to what the administrator names: anywhere
	settings  *atomic.Pointer[directory.Revocation] // of proxy and LDAP; may change
	directory string
	maxBytes  int64
	slots     chan struct{} // one per fetch under way

	mu    sync.Mutex
	hosts map[string]*hostSlots // of the fetches under way or waiting
}

// hostSlots are the fetches from one host. fetcher.mu guards users.
type hostSlots struct {
	slots chan struct{}
	users int
}

// validators are what a server gave with a CRL for asking again (RFC 9110, section 13.1).
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// download is a CRL as it came, in a temporary file that the receiver removes.
type download struct {
	path string
	validators
}

func newFetcher(folder string, d *dialer, maxBytes int64, settings *atomic.Pointer[directory.Revocation]) *fetcher {
	return &fetcher{
		dialer: d, directory: folder, maxBytes: maxBytes, settings: settings,
		trusted: &dialer{resolver: d.resolver, check: func(netip.Addr) error { return nil }},
		slots:   make(chan struct{}, maxFetches), hosts: make(map[string]*hostSlots),
	}
}

// checkRedirect guards where a server sends us. The address it resolves to is
// guarded by the dialer.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if _, err := checkURL(r.URL.String()); err != nil {
		return fmt.Errorf("redirected: %w", err)
	}
	return nil
}

// fetch downloads address. It returns errNotModified when known still holds.
func (f *fetcher) fetch(ctx context.Context, address string, known validators) (*download, error) {
	u, err := checkAddress(address)
	if err != nil {
		return nil, err
	}
	leave, err := f.enter(ctx, u.Host)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends whatever the client may have left behind
	if u.Scheme == "ldap" {
		return f.fetchLDAP(ctx, u)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Accept", "application/pkix-crl, */*")
	request.Header.Set("Accept-Encoding", "identity")
	if known.ETag != "" {
		request.Header.Set("If-None-Match", known.ETag)
	} else if known.LastModified != "" {
		request.Header.Set("If-Modified-Since", known.LastModified)
	}
	response, err := f.send(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && known != validators{}:
		return nil, errNotModified
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("fetching: the server answered with status %d", response.StatusCode)
	case response.ContentLength > f.maxBytes:
		return nil, fmt.Errorf("fetching: the CRL is larger than %d octets", f.maxBytes)
	}
	if e := response.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fmt.Errorf("fetching: the answer is encoded as %q, which was not asked for", cut(e))
	}
	return f.save(response)
}

// send sends a request through the client for ctx, the proxy's or the direct one.
func (f *fetcher) send(ctx context.Context, request *http.Request) (*http.Response, error) {
	client, err := f.client(ctx)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "mailpact")
	response, err := client.Do(request)
	var inner *url.Error // its text repeats the address
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return response, err
}

// enter waits for a turn, for this host and among all fetches.
func (f *fetcher) enter(ctx context.Context, host string) (leave func(), err error) {
	f.mu.Lock()
	h := f.hosts[host]
	if h == nil {
		h = &hostSlots{slots: make(chan struct{}, maxFetchesPerHost)}
		f.hosts[host] = h
	}
	h.users++
	f.mu.Unlock()
	gone := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(f.hosts, host)
		}
	}
	for i, slots := range []chan struct{}{h.slots, f.slots} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-h.slots
			}
			gone()
			return nil, fmt.Errorf("waiting for other fetches: %w", ctx.Err())
		}
	}
	return func() {
		<-f.slots
		<-h.slots
		gone()
	}, nil
}

// save writes the body to a temporary file, counting.
func (f *fetcher) save(response *http.Response) (_ *download, err error) {
	file, err := os.CreateTemp(f.directory, tempPattern)
	if err != nil {
		return nil, fmt.Errorf("making temporary file: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("writing temporary file: %w", closeErr)
		}
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	n, err := io.Copy(file, io.LimitReader(response.Body, f.maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetching: after %d octets: %w", n, err)
	}
	if n > f.maxBytes {
		return nil, fmt.Errorf("fetching: the CRL is larger than %d octets", f.maxBytes)
	}
	return &download{path: file.Name(), validators: validators{
		ETag: keep(response.Header.Get("ETag")), LastModified: keep(response.Header.Get("Last-Modified")),
	}}, nil
}

// keep returns a validator if it is of a size worth keeping.
func keep(s string) string {
	if len(s) > 256 {
		return ""
	}
	return s
}

// timeoutText names the limit that a fetch ran into instead of the context's words.
func timeoutText(err error, limit time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("fetching: no complete answer within %s: %w", limit, err)
	}
	return err
}
