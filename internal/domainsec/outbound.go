package domainsec

import (
	"fmt"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// Level is what the next hop must prove before it is given mail. Higher levels
// prove more. The zero value is unknown: nothing is sent at it.
type Level uint8

// The levels.
const (
	LevelUnknown       Level = iota
	LevelPlain               // no STARTTLS is tried (ignoreSTARTTLS, forceHELO)
	LevelOpportunistic       // STARTTLS where offered, any certificate, plain text otherwise
	LevelTLSRequired         // STARTTLS, any certificate, never plain text
	LevelDomainSecure        // mutual TLS, judged by VerdictForServer
)

// String returns the level's name.
func (l Level) String() string {
	switch l {
	case LevelPlain:
		return "Plain"
	case LevelOpportunistic:
		return "Opportunistic"
	case LevelTLSRequired:
		return "TLSRequired"
	case LevelDomainSecure:
		return "DomainSecure"
	default:
		return "Unknown"
	}
}

// Requirement is what delivery to a recipient domain over a send connector
// demands. It is computed at each attempt from the directory as it is then.
type Requirement struct {
	Level Level
	// TLSDomain is the recipient domain at LevelDomainSecure and with TrySecured; "" otherwise.
	TLSDomain smtp.Domain
	// TrySecured: the partner is in test mode. LevelDomainSecure is tried
	// first, as an attempt of its own; if it fails, that is counted and the
	// message goes at Level.
	TrySecured bool
	// Hold, when not empty, says why nothing can be sent: it names the
	// setting that contradicts the requirement and becomes LastError.
	Hold string
	// Reasons of Hold.
	Reasons []Reason
}

// RequirementFor states what the next hop must prove to be given mail for d
// over connector c. partner is d's entry in the directory, nil for none.
// A requirement that the connector cannot meet holds the message; it is never lowered.
func RequirementFor(d smtp.Domain, partner *directory.Partner, c *directory.SendConnector) Requirement {
	if c == nil {
		return Requirement{
			Hold:    fmt.Sprintf("no send connector routes %s; add one whose addressSpaces cover it", d),
			Reasons: []Reason{ConnectorNotDomainSecure},
		}
	}
	r := unlistedRequirement(c)
	if d == "" || partner == nil || !partner.Send || partner.Domain != d {
		return r
	}
	conflicts := secureConflicts(c)
	switch {
	case partner.Mode == directory.ModeTest:
		if len(conflicts) == 0 {
			r.TrySecured, r.TLSDomain = true, d
		}
		return r
	case len(conflicts) > 0:
		return Requirement{
			Level: LevelDomainSecure, TLSDomain: d, Reasons: []Reason{ConnectorNotDomainSecure},
			Hold: fmt.Sprintf("%s is in TLSSendDomainSecureList, but send connector %q %s",
				d, c.Name, strings.Join(conflicts, ", and ")),
		}
	default:
		return Requirement{Level: LevelDomainSecure, TLSDomain: d}
	}
}

// unlistedRequirement is what the connector alone demands.
func unlistedRequirement(c *directory.SendConnector) Requirement {
	var without []string
	if c.IgnoreSTARTTLS {
		without = append(without, "ignoreSTARTTLS: true")
	}
	if c.ForceHELO {
		without = append(without, "forceHELO: true")
	}
	switch {
	case c.RequireTLS && len(without) > 0:
		return Requirement{
			Level: LevelTLSRequired, Reasons: []Reason{NoTLS},
			Hold: fmt.Sprintf("send connector %q has requireTLS: true and %s; unset one of them", c.Name, strings.Join(without, ", ")),
		}
	case c.RequireTLS:
		return Requirement{Level: LevelTLSRequired}
	case len(without) > 0:
		return Requirement{Level: LevelPlain}
	default:
		return Requirement{Level: LevelOpportunistic}
	}
}

// secureConflicts names each setting that keeps the connector from securing a
// domain, with its mend.
func secureConflicts(c *directory.SendConnector) []string {
	var faults []string
	if !c.DomainSecureEnabled {
		faults = append(faults, "has domainSecureEnabled: false (set it to true)")
	}
	if !c.DNSRoutingEnabled || len(c.SmartHosts) > 0 {
		faults = append(faults, "routes by smart hosts (set dnsRoutingEnabled: true and no smartHosts)")
	}
	if c.IgnoreSTARTTLS {
		faults = append(faults, "has ignoreSTARTTLS: true (set it to false)")
	}
	if c.ForceHELO {
		faults = append(faults, "has forceHELO: true (set it to false)")
	}
	return faults
}
