package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// The paths that Handler serves, and their media types (RFC 2585, section 4).
const (
	CRLPath         = "/root.crl"
	CertificatePath = "/root.crt"
	crlType         = "application/pkix-crl"
	certificateType = "application/pkix-cert"
)

// Handler serves the current CRL at CRLPath and the authority's certificate at
// CertificatePath, both DER, to GET and HEAD. A revocation shows at once;
// otherwise a CRL is renewed at half of its life. Conditional requests are
// answered by entity tag alone, because two CRLs may be of the same second.
// Mount the handler of each of several authorities under a prefix of its own.
func (ca *CA) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+CRLPath, ca.serveCRL)
	mux.HandleFunc("GET "+CertificatePath, ca.serveCertificate)
	return mux
}

func (ca *CA) serveCRL(w http.ResponseWriter, r *http.Request) {
	now := ca.now()
	der, thisUpdate, refreshAt, err := ca.publish(now)
	if err != nil {
		http.Error(w, "The CRL could not be made.", http.StatusInternalServerError)
		return
	}
	serve(w, r, file{content: der, mediaType: crlType, modified: thisUpdate, now: now, maxAge: refreshAt.Sub(now)})
}

func (ca *CA) serveCertificate(w http.ResponseWriter, r *http.Request) {
	serve(w, r, file{
		content: ca.certificate.Raw, mediaType: certificateType,
		modified: ca.certificate.NotBefore, now: ca.now(), maxAge: 24 * time.Hour,
	})
}

type file struct {
	content   []byte
	mediaType string
	modified  time.Time
	now       time.Time
	maxAge    time.Duration
}

// crlMaxAge bounds how long a proxy may keep what we serve, so that a
// revocation is not hidden for half of a CRL's life.
const crlMaxAge = 5 * time.Minute

func serve(w http.ResponseWriter, r *http.Request, f file) {
	sum := sha256.Sum256(f.content)
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	// RFC 9110, section 5.6.7: an HTTP date is in GMT.
	h.Set("Last-Modified", f.modified.UTC().Format(http.TimeFormat))
	if f.mediaType == crlType {
		f.maxAge = min(f.maxAge, crlMaxAge)
	}
	f.maxAge = max(0, f.maxAge)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(f.maxAge/time.Second)))
	// For caches that know HTTP/1.0 only (RFC 9111, section 5.3).
	h.Set("Expires", f.now.Add(f.maxAge).UTC().Format(http.TimeFormat))
	// The zero time keeps If-Modified-Since out of it; see Handler.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
