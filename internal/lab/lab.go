package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrUnexpected means that a scene did not end as it should; it has been shown.
var ErrUnexpected = errors.New("a scene did not end as expected")

// sceneBound is how long one scene may take.
const sceneBound = 20 * time.Second

// Options say how to run the lab.
type Options struct {
	Out   io.Writer
	Color bool
	// Command is how to call this program, for what the lab tells to try; "" is mailpact.
	Command string
	// Once ends the lab after the last scene. Otherwise it stays up until the
	// context ends.
	Once bool
}

// Run builds both organisations, plays every scene in order and takes all down
// again. It returns ErrUnexpected when an outcome was not the expected one.
func Run(ctx context.Context, o Options) error { return play(ctx, o, allScenes()) }

// play is Run with the scenes that are given.
func play(ctx context.Context, o Options, scenes []scene) (err error) {
	began := time.Now()
	p := &painter{w: o.Out, color: o.Color, command: cmp.Or(o.Command, "mailpact")}
	p.title("Mailpact lab", "two organisations exchange domain-secured mail")
	t, err := build(ctx)
	if err != nil {
		return fmt.Errorf("building the lab: %w", err)
	}
	defer func() { err = errors.Join(err, t.close()) }()
	p.world(t)

	failed := 0
	for i, s := range scenes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.scene(i+1, len(scenes), s)
		sceneCtx, cancel := context.WithTimeout(ctx, sceneBound)
		r := s.run(sceneCtx, t)
		cancel()
		p.result(s, r)
		if r.fault != "" {
			failed++
		}
	}
	if err := p.counters(ctx, t); err != nil {
		return err
	}
	p.summary(len(scenes), failed, time.Since(began))
	if !o.Once {
		p.stayUp(t)
		<-ctx.Done()
		p.line("")
	}
	if failed > 0 {
		return ErrUnexpected
	}
	return nil
}
