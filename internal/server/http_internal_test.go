package server

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// TestHTTPStopCutsWhenItsContextEnds: a caller that never ends does not outlive
// the server, however its context has ended.
func TestHTTPStopCutsWhenItsContextEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, cut := make(chan struct{}), make(chan struct{})
	h := &httpServer{listener: l, server: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done() // ends with the connection
		close(cut)
	})}}
	h.start()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /health HTTP/1.1\r\nHost: mail1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.stop(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
	<-cut
}
