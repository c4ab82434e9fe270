package queue_test

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/store/sqlite"
	"mailpact/internal/store/storetest"
)

// readings counts how often content is read back from the store.
type readings struct {
	queue.Engine
	n atomic.Int32
}

func (r *readings) OpenContent(ctx context.Context, id int64) (io.ReadCloser, error) {
	r.n.Add(1)
	return r.Engine.OpenContent(ctx, id)
}

// TestContentOfSomeMegabytesIsNotReadBack: staged rows stay in memory for the
// deliveries at hand, within the budget, and hold the same as the store.
func TestContentOfSomeMegabytesIsNotReadBack(t *testing.T) {
	const row = 256 << 10
	for _, tt := range []struct {
		name   string
		octets int
		budget int64
		read   int32 // times, for two deliveries that read twice: fixture and sink
	}{
		{"one row", row, 0, 0},
		{"one octet more", row + 1, 0, 0},
		{"whole rows", 4 * row, 0, 0},
		{"rows and a bit", 4*row + 17, 0, 0},
		{"as much as is kept", 17 * row, 0, 0},
		{"more than is kept", 17*row + 1, 0, 4},
		{"budget for two rows", 4 * row, 2 * row, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				counted := &readings{}
				f := newFixture(t, func(f *fixture) {
					f.options.MemoryBudget = tt.budget
					f.wrap = func(e *sqlite.Engine) queue.Engine { counted.Engine = e; return counted }
					f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
						r, err := d.Open(ctx)
						if err != nil {
							t.Error(err)
							return all(d, queue.Outcome{Disposition: queue.Delivered})
						}
						defer r.Close()
						var some, rest bytes.Buffer
						if _, err := io.CopyN(struct{ io.Writer }{&some}, struct{ io.Reader }{r}, row/2); err != nil {
							t.Error(err)
						}
						if _, err := io.Copy(&rest, r); err != nil {
							t.Error(err)
						}
						if want := storetest.Octets(3, tt.octets); !bytes.Equal(append(some.Bytes(), rest.Bytes()...), want) {
							t.Errorf("%d octets were delivered that differ from the %d accepted", some.Len()+rest.Len(), len(want))
						}
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
				})
				for range 3 { // the buffers of the first are used by those that follow
					counted.n.Store(0)
					f.accept("a@a.example", string(storetest.Octets(3, tt.octets)), "1@down.example", "2@up.example")
					time.Sleep(time.Second)
					if got := counted.n.Load(); got != tt.read {
						t.Errorf("content was read back %d times, want %d", got, tt.read)
					}
				}
			})
		})
	}
}
