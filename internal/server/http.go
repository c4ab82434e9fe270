package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mailpact/internal/admin"
	"mailpact/internal/counters"
)

// httpServer serves health and metrics; nil-safe when HTTP is off.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when Serve returned; nil before start
}

// listenHTTP binds address; an empty one gives a server that does nothing.
func listenHTTP(address string, a *admin.Service, c *counters.Set) (*httpServer, error) {
	if address == "" {
		return &httpServer{}, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{c})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) { serveHealth(w, r, a) })
	return bindHTTP("server.http", address, mux)
}

// bindHTTP binds the address of a key and serves handler once it is started.
func bindHTTP(key, address string, handler http.Handler) (*httpServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w (choose another address, or \"\" for none)", key, err)
	}
	return &httpServer{listener: l, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
}

// serveHealth answers 200 when the server is healthy and 503 when it is not,
// with the findings that say why. It tells strangers no more than that.
func serveHealth(w http.ResponseWriter, r *http.Request, a *admin.Service) {
	status, err := a.StatusShow(r.Context(), admin.Empty{})
	code := http.StatusOK
	if err != nil || !status.Healthy {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(struct {
		Healthy  bool            `json:"healthy"`
		Findings []admin.Finding `json:"findings"`
	}{err == nil && status.Healthy, status.Findings}) // the caller went away: nobody is left to tell
}

func (h *httpServer) start() {
	if h.server == nil {
		return
	}
	done := make(chan struct{})
	h.done = done
	go func() {
		defer close(done)
		_ = h.server.Serve(h.listener) // always ErrServerClosed after stop
	}()
}

func (h *httpServer) stop(ctx context.Context) error {
	if h.server == nil {
		return nil
	}
	err := h.server.Shutdown(ctx)
	if ctx.Err() != nil {
		err = h.server.Close()
	}
	h.listener.Close()
	if h.done != nil {
		<-h.done
	}
	return err
}
