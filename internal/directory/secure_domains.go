package directory

import "mailpact/internal/smtp"

// TLSSendDomainSecureList returns the domains to which mail leaves over mutual
// TLS or not at all: those of the partners that are enforced and sent to, in
// the order of the file. The list is derived; partners are its source.
func (c *Configuration) TLSSendDomainSecureList() []smtp.Domain {
	return c.enforced(func(p *Partner) bool { return p.Send })
}

// TLSReceiveDomainSecureList returns the domains from which mail is accepted
// over mutual TLS or not at all: those of the partners that are enforced and
// received from, in the order of the file.
func (c *Configuration) TLSReceiveDomainSecureList() []smtp.Domain {
	return c.enforced(func(p *Partner) bool { return p.Receive })
}

func (c *Configuration) enforced(direction func(*Partner) bool) []smtp.Domain {
	var out []smtp.Domain
	for i := range c.Partners {
		if p := &c.Partners[i]; p.Mode == ModeEnforce && direction(p) {
			out = append(out, p.Domain)
		}
	}
	return out
}
