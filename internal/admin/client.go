package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxResponseBytes bounds what a client reads.
const maxResponseBytes = 256 << 20

// Client calls operations of a server over its Unix socket. It is safe for
// concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the socket at path. Nothing is dialled yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{socket: path, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, IdleConnTimeout: 10 * time.Second},
	}}
}

// Call runs the operation called name. The error is *UnreachableError when no
// server answers and *Error when the operation failed.
func Call[Response any](ctx context.Context, c *Client, name string, request any) (Response, error) {
	var response Response
	body, err := json.Marshal(request)
	if err != nil {
		return response, fmt.Errorf("encoding request: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://mailpact"+apiPrefix+name, bytes.NewReader(body))
	if err != nil {
		return response, fmt.Errorf("making request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return response, &UnreachableError{Socket: c.socket, Err: errors.Unwrap(err)}
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxResponseBytes))
	if err != nil {
		return response, fmt.Errorf("reading answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		var p problem
		if err := json.Unmarshal(data, &p); err != nil || p.Kind == "" {
			return response, fmt.Errorf("calling %s: the server answered %s", name, answer.Status)
		}
		return response, &p.Error
	}
	if err := json.Unmarshal(data, &response); err != nil {
		return response, fmt.Errorf("reading answer of %s: %w", name, err)
	}
	return response, nil
}
