package lab

import (
	"context"
	"fmt"

	"mailpact/internal/admin"
)

// exchangeBundles sets up trust as two organisations do: each writes its partner
// bundle, and the other imports it with the fingerprint that it was told.
func (t *town) exchangeBundles(ctx context.Context) error {
	for _, pair := range [][2]*organisation{{t.contoso, t.woodgrove}, {t.woodgrove, t.contoso}} {
		from, to := pair[0], pair[1]
		b, err := admin.Call[admin.PartnerExportResponse](ctx, from.client(), "partner.export", admin.PartnerExportRequest{
			Organization: from.domain, Anchors: string(from.ca.CertificatePEM()),
			// The scenes use certificates of several hosts, one label below the domain.
			NameRule: "domain",
		})
		if err != nil {
			return fmt.Errorf("writing the bundle of %s: %w", from.domain, err)
		}
		from.fingerprint = b.Fingerprint
		r, err := admin.Call[admin.PartnerImportResponse](ctx, to.client(), "partner.import", admin.PartnerImportRequest{
			Bundle: b.Bundle, Fingerprint: b.Fingerprint, Apply: true,
		})
		if err != nil {
			return fmt.Errorf("importing the bundle of %s at %s: %w", from.domain, to.domain, err)
		}
		if !r.Applied {
			return fmt.Errorf("importing the bundle of %s at %s changed nothing", from.domain, to.domain)
		}
	}
	return nil
}
