package receive

import (
	"mailpact/internal/certstore"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// What the server is run with fits without an adapter.
var (
	_ Accepter     = (*queue.Queue)(nil)
	_ Judge        = (*trust.Verifier)(nil)
	_ Certificates = (*certstore.Store)(nil)
	_ SessionLog   = (*protocollog.Session)(nil)
	_ smtp.Session = (*session)(nil)
)
