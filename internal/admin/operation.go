package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Role is a set of operations that a caller may use.
type Role string

// The roles. An administrator may everything.
const (
	RoleAdministrator Role = "administrator"
	RoleViewer        Role = "viewer"
)

// includes reports whether a caller of role r may call what needs the role
// needed. A role that is not known includes nothing.
func (r Role) includes(needed Role) bool {
	switch r {
	case RoleAdministrator:
		return true
	case RoleViewer:
		return needed == RoleViewer
	default:
		return false
	}
}

// maxRequestBytes bounds a request body.
const maxRequestBytes = 1 << 20

// Operation is one entry of the list.
type Operation struct {
	Name    string // noun.verb, for example "queue.list"
	Summary string // one sentence for help and API description
	Role    Role   // the least role that may call it
	Changes bool   // whether it changes anything
	Offline bool   // whether it works without a running server, see Options.Offline

	call func(ctx context.Context, s *Service, body []byte) (any, error)
}

// define makes an Operation of a typed function.
func define[Request, Response any](op Operation, fn func(*Service, context.Context, Request) (Response, error)) Operation {
	op.call = func(ctx context.Context, s *Service, body []byte) (any, error) {
		var request Request
		if err := decodeStrict(body, &request); err != nil {
			return nil, &Error{Kind: KindInvalid, Object: op.Name, Detail: "the request is not valid: " + err.Error()}
		}
		return fn(s, ctx, request)
	}
	return op
}

// decodeStrict reads one JSON value and refuses unknown fields and trailing text.
// An empty body is the zero request.
func decodeStrict(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the JSON value")
	}
	return nil
}

// Operations returns the list, sorted by name. It is made anew for each caller.
func Operations() []Operation {
	list := slices.Concat(authorityOperations(), partnerOperations(), serverOperations())
	for i := range list {
		list[i].Offline = list[i].Offline || worksOnFiles(list[i].Name)
	}
	slices.SortFunc(list, func(a, b Operation) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// worksOnFiles reports whether an operation on our own certificates needs no
// running server.
func worksOnFiles(name string) bool {
	return strings.HasPrefix(name, "certificate.") && name != "certificate.verify"
}

// serverOperations are the operations on what a server has.
func serverOperations() []Operation {
	viewer := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleViewer}
	}
	change := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleAdministrator, Changes: true}
	}
	return []Operation{
		define(change("certificate.enable", "Enable a certificate for services, now or from a time on."), (*Service).CertificateEnable),
		define(change("certificate.export", "Hand out a certificate, with its key if that is exportable."), (*Service).CertificateExport),
		define(change("certificate.import", "Take in the answer to a request, or a certificate with its key."), (*Service).CertificateImport),
		define(viewer("certificate.list", "List the server's own certificates in selection order, and pending requests."), (*Service).CertificateList),
		define(change("certificate.new", "Make a self-signed certificate."), (*Service).CertificateNew),
		define(viewer("certificate.partners", "List the certificates that partners have shown lately."), (*Service).CertificatePartners),
		define(change("certificate.remove", "Remove a certificate that is not in use, or a pending request."), (*Service).CertificateRemove),
		define(change("certificate.request", "Make a key and a certificate request for a CA."), (*Service).CertificateRequest),
		define(change("certificate.seal", "Seal the private keys that lie unsealed in the data directory."), (*Service).CertificateSeal),
		define(viewer("certificate.show", "Show a certificate or a pending request in full."), (*Service).CertificateShow),
		define(viewer("certificate.verify", "Judge a certificate as a session would, with every path tried and one verdict."), (*Service).CertificateVerify),
		define(viewer("counters.show", "Show the Domain Security counters and refusals by reason."), (*Service).CountersShow),
		define(change("crl.flush", "Forget cached CRLs."), (*Service).CRLFlush),
		define(viewer("crl.list", "List the cached CRLs with their freshness."), (*Service).CRLList),
		define(change("crl.refresh", "Fetch CRLs now."), (*Service).CRLRefresh),
		define(viewer("crl.show", "Show the cached CRLs of one address."), (*Service).CRLShow),
		define(viewer("message.list", "List queued messages."), (*Service).MessageList),
		define(change("message.remove", "Remove messages from the queue, with a report to their senders unless told otherwise."), (*Service).MessageRemove),
		define(change("message.resume", "End the suspension of messages, or take them out of the queue Poison."), (*Service).MessageResume),
		define(viewer("message.show", "Show one queued message."), (*Service).MessageShow),
		define(change("message.suspend", "Keep messages from being delivered until they are resumed."), (*Service).MessageSuspend),
		define(change("proxy.set", "Set or remove the HTTP proxy that CRLs are fetched through."), (*Service).ProxySet),
		define(viewer("proxy.show", "Show the HTTP proxy that CRLs are fetched through."), (*Service).ProxyShow),
		define(viewer("queue.list", "List the queues."), (*Service).QueueList),
		define(change("queue.remove", "Remove the messages of a queue, with a report to their senders unless told otherwise."), (*Service).QueueRemove),
		define(change("queue.resume", "End the suspension of a queue."), (*Service).QueueResume),
		define(change("queue.retry", "Make a queue's messages due now."), (*Service).QueueRetry),
		define(viewer("queue.show", "Show one queue."), (*Service).QueueShow),
		define(change("queue.suspend", "Keep a queue's messages from being delivered until it is resumed."), (*Service).QueueSuspend),
		define(viewer("status.show", "Show the server's state: version, listeners, findings, health."), (*Service).StatusShow),
		define(viewer("trust.check", "Check the trust settings: files, expiry, partners nobody vouches for."), (*Service).TrustCheck),
		define(viewer("trust.list", "List anchors and intermediates with scope, thumbprint and expiry."), (*Service).TrustList),
	}
}

// Call runs the operation called name with a JSON request. Unknown names are
// errors of KindNotFound; a role that does not suffice is KindNotPermitted.
func (s *Service) Call(ctx context.Context, role Role, name string, body []byte) (any, error) {
	for _, op := range s.operations {
		if op.Name != name {
			continue
		}
		if !role.includes(op.Role) {
			return nil, &Error{Kind: KindNotPermitted, Object: name, Detail: fmt.Sprintf("needs the role %s", op.Role)}
		}
		if s.offline && !op.Offline {
			return nil, needsServer(name)
		}
		return op.call(ctx, s, body)
	}
	return nil, NotFound("operation "+name, "")
}
