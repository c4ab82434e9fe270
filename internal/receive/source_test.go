package receive

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailpact/internal/directory"
)

func TestSourceKey(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"one IPv4 address", "192.0.2.1", "192.0.2.1", true},
		{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"one IPv6 network", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"two IPv6 networks", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newSourceTable()
			if table.enter(netip.MustParseAddr(tt.a), 1) == nil {
				t.Fatal("the first connection was refused")
			}
			if second := table.enter(netip.MustParseAddr(tt.b), 1); (second == nil) != tt.same {
				t.Errorf("the second connection: %v", second)
			}
		})
	}
}

func TestSourceConnections(t *testing.T) {
	table, a := newSourceTable(), netip.MustParseAddr("192.0.2.1")
	first, second := table.enter(a, 2), table.enter(a, 2)
	if first == nil || first != second || table.enter(a, 2) != nil {
		t.Fatal("the limit does not hold")
	}
	table.leave(first, noon)
	if table.enter(a, 2) != first {
		t.Fatal("a place that was left is not free")
	}
	table.leave(first, noon)
	table.leave(first, noon)
	if table.enter(a, 2) != first {
		t.Error("a client was forgotten at once")
	}
}

// TestSourcesAreBounded comes from ever new addresses.
func TestSourcesAreBounded(t *testing.T) {
	table := newSourceTable()
	address := func(i int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.AddrFrom4(b)
	}
	staying := table.enter(address(0), 1)
	staying.message(noon, 10)
	for i := range 3 * maxIdleSources {
		table.leave(table.enter(address(i+1), 1), noon)
	}
	if n := len(table.sources); n != maxIdleSources+1 || table.idle != maxIdleSources {
		t.Errorf("%d clients are remembered, %d of them idle", n, table.idle)
	}
	if table.sources[address(0)] != staying || table.sources[address(3*maxIdleSources)] == nil || table.sources[address(1)] != nil {
		t.Error("the wrong clients were forgotten")
	}
	table.leave(table.enter(address(1), 1), noon.Add(sourceMemory+time.Second))
	if n := len(table.sources); n != 2 || table.idle != 1 {
		t.Errorf("%d clients are remembered when their messages no longer count", n)
	}
}

// TestSourceTableList holds the list against the map in any order of events.
func TestSourceTableList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, now := newSourceTable(), noon
		var open []*source
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			if i := rapid.IntRange(-3, 5).Draw(t, "event"); i < 0 && len(open) > 0 {
				i = (-i - 1) % len(open)
				table.leave(open[i], now)
				open = append(open[:i], open[i+1:]...)
			} else if i >= 0 {
				s := table.enter(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), directory.Unlimited)
				open = append(open, s)
			}
			idle := 0
			for s, newer := table.newest, (*source)(nil); s != nil; s, newer = s.older, s {
				if s.connections != 0 || s.newer != newer || table.sources[s.key] != s {
					t.Fatal("the list is broken")
				}
				if s.older == nil && table.oldest != s {
					t.Fatal("the list ends elsewhere")
				}
				idle++
			}
			busy := map[*source]bool{}
			for _, s := range open {
				busy[s] = true
			}
			if idle != table.idle || idle+len(busy) != len(table.sources) {
				t.Fatalf("%d idle of %d, counted %d, with %d busy", idle, len(table.sources), table.idle, len(busy))
			}
		}
	})
}

func TestMessageRate(t *testing.T) {
	minute := noon.Truncate(time.Minute)
	at := func(d time.Duration) time.Time { return minute.Add(d) }
	take := func(s *source, now time.Time, tries int) (taken int) {
		for range tries {
			if s.message(now, 60) {
				taken++
			}
		}
		return taken
	}
	steps := func(t *testing.T, s *source, steps ...[2]int) {
		t.Helper()
		for _, step := range steps {
			if got := take(s, at(time.Duration(step[0])*time.Second), 100); got != step[1] {
				t.Errorf("%d messages pass after %d s, want %d", got, step[0], step[1])
			}
		}
	}
	t.Run("a burst", func(t *testing.T) { steps(t, &source{}, [2]int{0, 60}, [2]int{59, 0}, [2]int{64, 0}, [2]int{65, 60}) })
	t.Run("the first of many leave first", func(t *testing.T) {
		s := &source{}
		if take(s, at(0), 20) != 20 || take(s, at(30*time.Second), 40) != 40 {
			t.Fatal("refused below the limit")
		}
		steps(t, s, [2]int{30, 0}, [2]int{65, 20}, [2]int{94, 0}, [2]int{95, 40})
	})
	t.Run("a long pause", func(t *testing.T) { steps(t, &source{}, [2]int{0, 60}, [2]int{3600, 60}, [2]int{3601, 0}) })
	t.Run("a clock that goes back", func(t *testing.T) { steps(t, &source{}, [2]int{120, 60}, [2]int{0, 60}) })
	t.Run("unlimited", func(t *testing.T) {
		s := &source{}
		for range 1000 {
			if !s.message(noon, directory.Unlimited) {
				t.Fatal("refused")
			}
		}
	})
	t.Run("no allocation", func(t *testing.T) {
		s := &source{}
		if n := testing.AllocsPerRun(100, func() { s.message(noon, 60) }); n != 0 {
			t.Errorf("%.0f allocations", n)
		}
	})
}

// TestMessageRateHolds holds that no minute has more messages than the limit, and
// that nobody is refused who has had fewer in a minute and a slot.
func TestMessageRateHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 30
		s, now := &source{}, noon
		var passed []time.Time
		within := func(d time.Duration) (n int) {
			for _, p := range passed {
				if now.Sub(p) < d {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 300).Draw(t, "messages") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "pause")) * time.Millisecond)
			if s.message(now, limit) {
				passed = append(passed, now)
				if n := within(time.Minute); n > limit {
					t.Fatalf("%d messages within a minute", n)
				}
			} else if n := within(time.Minute + messageSlot); n < limit {
				t.Fatalf("refused after %d messages", n)
			}
		}
	})
}
