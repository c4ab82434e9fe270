package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"mailpact/internal/domainsec"
	"mailpact/internal/message"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// Data receives the message: it reads the header, decides about From, puts the
// trace and the mark in front and says 250 only when the queue has it. The
// header's memory is the queue's, like that of the content.
func (x *session) Data(ctx context.Context, body io.Reader) (smtp.Reply, error) {
	content, err := x.server.o.Queue.NewContent(ctx)
	if err != nil {
		return smtp.Reply{}, x.storeFault("beginning a message in the queue", err)
	}
	defer content.Discard() // a no-op once accepted
	h, err := x.header(content, body)
	if err != nil {
		return smtp.Reply{}, err
	}
	from, err := x.alignFrom(h)
	if err != nil {
		return smtp.Reply{}, x.tarpit(err)
	}
	m := x.message(x.server.o.Now())
	m.InternetMessageID, m.Subject, m.SecuredDomain = h.InternetMessageID(), h.Subject(), from.Mark
	if removed := h.Remove(message.Firewall{AuthservID: x.tx.view.authservID()}); len(removed) > 0 {
		x.logger().Info("header fields that only we may write were removed", "fields", removed[:min(len(removed), maxFieldsLogged)], "count", len(removed))
	}
	m.UTF8 = x.tx.parameters.UTF8 && (!plain(m) || !h.ASCII())
	m.OnDurable = func(m *queue.Message) { x.record(m, from) }
	if err := x.accept(ctx, content, m, h, body); err != nil {
		return smtp.Reply{}, err
	}
	return queued(x.queuedName(m)), nil
}

// plain reports whether the envelope of m needs no SMTPUTF8. Clients say it for
// messages, too, that could do without, and those go anywhere. UTF-8 in the
// header of a body part alone is not looked for.
func plain(m *queue.Message) bool {
	for i := range m.Recipients {
		if !m.Recipients[i].Mailbox.ASCII() {
			return false
		}
	}
	return m.From.Mailbox.ASCII()
}

// maxFieldsLogged bounds the names of removed fields in a line of the log.
const maxFieldsLogged = 8

// header reads the message's header within the connector's limits.
func (x *session) header(content queue.Content, body io.Reader) (*message.Header, error) {
	h, err := message.ReadHeaderWithin(body, x.rc.MaxHeaderSize, content.Hold)
	switch {
	case errors.Is(err, message.ErrHeaderTooLarge):
		return nil, x.tarpit(refusal(kindHeaderTooLarge, x.id))
	case errors.Is(err, queue.ErrMemory):
		return nil, x.storeFault("reading a message's header", err)
	case err != nil:
		return nil, fmt.Errorf("receiving a message: %w", err)
	case int64(h.ReceivedCount()) > x.rc.MaxHopCount:
		return nil, x.tarpit(refusal(kindTooManyHops, x.id))
	}
	return h, nil
}

// accept writes the message into the queue and makes it durable.
func (x *session) accept(ctx context.Context, content queue.Content, m *queue.Message, h *message.Header, body io.Reader) error {
	if err := x.write(content, m, h, body); err != nil {
		return err
	}
	m.Size = content.Size()
	// A message that is complete is accepted even if the session ends
	// meanwhile: the client may have seen its last octet acknowledged.
	if err := x.server.o.Queue.Accept(context.WithoutCancel(ctx), m, content); err != nil {
		return x.storeFault("accepting a message", err)
	}
	return nil
}

// write puts the fields of our own in front of what is left of the header, the
// trace directly above it, and copies the body. Octets of the client's are
// never changed.
func (x *session) write(content queue.Content, m *queue.Message, h *message.Header, body io.Reader) error {
	w := &storeWriter{w: content}
	if m.SecuredDomain != "" {
		_, _ = w.Write(x.mark()) // w keeps its error
	}
	_, _ = w.Write(x.received(m))
	_, _ = h.WriteTo(w)
	buf := x.server.buffers.Get().(*[copyBufferBytes]byte)
	defer x.server.buffers.Put(buf)
	var err error
	if w.err == nil {
		// The struct hides other methods of the reader, which would bring a
		// buffer of their own.
		_, err = io.CopyBuffer(w, struct{ io.Reader }{h.Body(body)}, buf[:])
	}
	switch {
	case w.err != nil:
		return x.storeFault("writing a message to the queue", w.err)
	case err != nil:
		return fmt.Errorf("receiving a message: %w", err)
	}
	return nil
}

// storeWriter tells an error of the store from one of the connection.
type storeWriter struct {
	w   io.Writer
	err error
}

func (w *storeWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// storeFault logs an error of the queue and returns what the client is told.
func (x *session) storeFault(doing string, err error) error {
	text, k := "a message could not be stored", kindStoreFault
	if errors.Is(err, queue.ErrMemory) || errors.Is(err, queue.ErrFull) {
		text, k = "a message was put off: there is no room for it", kindNoRoom
	}
	x.server.complain(text, keySession, x.id, keyConnector, x.connector.name, keyRemote, x.remote.String(), "doing", doing, keyError, err)
	return refusal(k, x.id)
}

// received makes the Received field.
func (x *session) received(m *queue.Message) []byte {
	o := message.ReceivedOptions{
		Hello:         x.hello.Name,
		Extended:      x.hello.Extended,
		Authenticated: x.account != "",
		UTF8:          x.tx.parameters.UTF8,
		Client:        x.remote.Addr(),
		By:            string(x.rc.FQDN),
		TLS:           x.tls,
		SessionID:     x.id,
		MessageID:     strconv.Itoa(x.transactions),
		Date:          m.Received,
	}
	if x.peerFacts != nil {
		o.ClientCertificate = x.peerFacts
		switch v := &x.tx.verdict; {
		case v.Action == domainsec.ActionSecure:
			o.ClientVerify = string(v.Domain)
		case len(v.Reasons) > 0:
			o.ClientVerify = mainReason(*v).String()
		}
	}
	if len(m.Recipients) == 1 {
		o.For = &m.Recipients[0]
	}
	return message.Received(o)
}

// queuedName is how the final reply names the message: by its Message-ID where
// that can stand in a reply, else by the session.
func (x *session) queuedName(m *queue.Message) string {
	id := m.InternetMessageID
	if id == "" {
		return "[" + x.id + "]"
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return "[" + x.id + "]"
		}
	}
	return id
}

// record tells the records of an accepted message.
func (x *session) record(m *queue.Message, from domainsec.FromVerdict) {
	r := x.server.o.Recorder
	if from.Mark != "" {
		usage := ""
		if p := x.tx.verdict.Path; p != nil {
			usage = p.Usage
		}
		r.DomainSecured(from.Mark, usage)
	}
	if len(from.Unsecured) > 0 {
		r.Unmarked()
	}
	r.Received(MessageRecord{
		Time:           m.Received,
		Message:        m,
		ClientHostname: x.hello.Name,
		ServerIP:       x.local.Addr().String(),
		ServerHostname: string(x.rc.FQDN),
		Connector:      x.label,
	})
}
