package server

import (
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// knownNames returns every name the configuration knows this server by: its own,
// the connectors', and the accepted domains.
func knownNames(cfg *directory.Configuration) []smtp.Domain {
	var names []smtp.Domain
	seen := map[smtp.Domain]bool{"": true}
	add := func(d smtp.Domain) {
		if !seen[d] {
			seen[d] = true
			names = append(names, d)
		}
	}
	add(cfg.Server.FQDN)
	for i := range cfg.ReceiveConnectors {
		add(cfg.ReceiveConnectors[i].FQDN)
	}
	for i := range cfg.SendConnectors {
		add(cfg.SendConnectors[i].FQDN)
	}
	for i := range cfg.AcceptedDomains {
		add(cfg.AcceptedDomains[i].Name)
	}
	return names
}
