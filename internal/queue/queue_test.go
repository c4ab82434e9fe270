package queue_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAcceptDelivers(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
	}{
		{"empty", 0},
		{"small", 10 << 10},
		{"fills a buffer", 16 << 10},
		{"one octet more than a buffer", 16<<10 + 1},
		{"fills a row", 256 << 10},
		{"one octet more than a row", 256<<10 + 1},
		{"several rows", 1 << 20},
		{"several rows and a rest", 1<<20 + 77777},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			content := strings.Repeat("0123456789abcde\n", tt.size/16+1)[:tt.size]
			m := f.accept("a@a.example", content, "b@b.example")
			if m.ID == 0 || m.Size != int64(tt.size) {
				t.Errorf("ID %d, Size %d, want some ID and %d", m.ID, m.Size, tt.size)
			}
			until(t, "the message is delivered and gone", func() bool { return len(f.sink.seen()) == 1 && f.stored() == 0 })
			got := f.sink.seen()[0]
			if got.Content != content {
				t.Errorf("content of %d octets differs from the %d accepted", len(got.Content), len(content))
			}
			if diff := cmp.Diff([]string{"accepted from a@a.example", "delivered b@b.example"}, f.events.seen()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
