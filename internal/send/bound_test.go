package send_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/send"
)

// tarpit is a host that takes connections and says nothing, or no more than said.
func tarpit(t *testing.T, said string) routing.Host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			_, _ = io.WriteString(c, said)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return routing.Host{Name: "tarpit.example", Addrs: []netip.AddrPort{netip.MustParseAddrPort(l.Addr().String())}}
}

// TestSetUpIsBounded: hosts that let every step wait do not hold an attempt for
// longer than the bound over all of them, and not so long that a good one is
// not reached.
func TestSetUpIsBounded(t *testing.T) {
	const bound = 800 * time.Millisecond
	for _, tt := range []struct {
		name string
		said string
	}{
		{"no greeting", ""},
		{"half a greeting", "220-tarpit.example\r\n"},
		{"no answer to EHLO", "220 tarpit.example\r\n"},
		{"no handshake", "220 tarpit.example\r\n250-tarpit.example\r\n250 STARTTLS\r\n220 2.0.0 Go ahead\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{send: func(o *send.Options) { o.SetUpTimeout = bound }})
			first, second := tarpit(t, tt.said), tarpit(t, tt.said)
			w.at(stranger, first, second)
			began := time.Now()
			got := w.deliver("bob@" + string(stranger))
			took := time.Since(began)
			if took < bound/2 || took > bound+3*time.Second {
				t.Errorf("the attempt took %v, its bound is %v", took, bound)
			}
			if got[0].Disposition != queue.Deferred || !got[0].ConnectionFailed {
				t.Errorf("got %s", show(got))
			}
			good := newPeer(t, manner{})
			w.at(stranger, first, good.host("mx.example", 20))
			if got := w.deliver("bob@" + string(stranger)); got[0].Disposition != queue.Delivered {
				t.Errorf("with a good host behind it: %s", show(got))
			}
		})
	}
}

// TestTransactionIsBounded: a host that takes a message as slowly as each single
// wait allows is given up in the end.
func TestTransactionIsBounded(t *testing.T) {
	w := newWorld(t, worldOptions{send: func(o *send.Options) { o.TransactionTimeout = 300 * time.Millisecond }})
	w.at(stranger, tarpit(t, "220 tarpit.example\r\n250 tarpit.example\r\n250 2.1.0 OK\r\n"))
	began := time.Now()
	got := w.deliver("bob@" + string(stranger))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the attempt took %v", took)
	}
	if got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, "timed out") {
		t.Errorf("got %s", show(got))
	}
	// The time grows with the message: whoever reads slowly gets a large one, too.
	d := w.delivery("bob@" + string(stranger))
	d.Message.Size = 1 << 40
	good := newPeer(t, manner{})
	w.at(stranger, good.host("mx.example", 10))
	d.Open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(body), pause{400 * time.Millisecond})), nil
	}
	if got := w.sender.Deliver(t.Context(), d); got[0].Disposition != queue.Delivered {
		t.Errorf("got %s", show(got))
	}
}

// pause is a reader whose end takes its time.
type pause struct{ d time.Duration }

func (p pause) Read([]byte) (int, error) {
	<-time.After(p.d)
	return 0, io.EOF
}
