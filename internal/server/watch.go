package server

import (
	"context"
	"time"

	"mailpact/internal/queue"
)

// aliveBound is how long the store may take to answer the watchdog.
const aliveBound = 10 * time.Second

// Alive reports whether the queue and its store still answer.
func (s *Server) Alive() bool {
	ctx, cancel := context.WithTimeout(context.Background(), aliveBound)
	defer cancel()
	_, err := s.queue.Messages(ctx, queue.MessageFilter{Limit: 1})
	return err == nil
}
