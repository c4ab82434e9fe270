package logfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

func header(time.Time) []byte { return []byte("#head\n") }

func lostRow(_ time.Time, n int64) []byte { return fmt.Appendf(nil, "lost %d\n", n) }

// contents returns the files of dir by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		m[e.Name()] = string(b)
	}
	return m
}

func open(t *testing.T, o Options) *Writer {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = "LOG"
	}
	if o.Header == nil {
		o.Header = header
	}
	if o.LostRow == nil {
		o.LostRow = lostRow
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closeWriter(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	type row struct {
		at   time.Time
		text string
	}
	night := time.Date(2026, 2, 3, 23, 59, 59, 999e6, time.FixedZone("", -3600))
	tests := []struct {
		name string
		max  int64
		rows []row
		want map[string]string
	}{
		{"one file", 0, []row{{noon, "a\n"}, {noon, "b\nc\n"}}, map[string]string{
			"LOG20260203-1.log": "#head\na\nb\nc\n",
		}},
		{"each row in the file of its day, of UTC", 0, []row{{noon, "a\n"}, {night, "b\n"}, {night.Add(time.Second), "c\n"}}, map[string]string{
			"LOG20260203-1.log": "#head\na\n",
			"LOG20260204-1.log": "#head\nb\nc\n",
		}},
		{"a clock that goes back", 0, []row{{noon.AddDate(0, 0, 1), "a\n"}, {noon, "b\n"}}, map[string]string{
			"LOG20260204-1.log": "#head\na\nb\n",
		}},
		{"a new file at the size limit, rows whole", 12, []row{{noon, "aaa\nbbb\n"}, {noon, "cc\n"}, {noon, "dddd\n"}}, map[string]string{
			"LOG20260203-1.log": "#head\naaa\n",
			"LOG20260203-2.log": "#head\nbbb\n",
			"LOG20260203-3.log": "#head\ncc\n",
			"LOG20260203-4.log": "#head\ndddd\n",
		}},
		{"exactly full", 10, []row{{noon, "aaa\nbbb\n"}}, map[string]string{
			"LOG20260203-1.log": "#head\naaa\n",
			"LOG20260203-2.log": "#head\nbbb\n",
		}},
		{"a row longer than a file", 12, []row{{noon, "aaaaaaaaaaaaaaaa\nb\n"}}, map[string]string{
			"LOG20260203-1.log": "#head\n",
			"LOG20260203-2.log": "#head\naaaaaaaaaaaaaaaa\n",
			"LOG20260203-3.log": "#head\nb\n",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made", "here")
			w := open(t, Options{Directory: dir, MaxFileBytes: tt.max})
			for _, r := range tt.rows {
				if !w.Append(r.at, []byte(r.text)) {
					t.Error("row dropped")
				}
			}
			closeWriter(t, w)
			if diff := cmp.Diff(tt.want, contents(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	tests := []struct {
		name   string
		before map[string]string
		want   map[string]string
	}{
		{"goes on in the last file of today", map[string]string{
			"LOG20260203-9.log": "#head\nx\n", "LOG20260203-10.log": "#head\ny\n", "LOG20260202-11.log": "#head\nz\n",
		}, map[string]string{
			"LOG20260203-9.log": "#head\nx\n", "LOG20260203-10.log": "#head\ny\na\n", "LOG20260202-11.log": "#head\nz\n",
		}},
		{"ends a row that a crash has cut", map[string]string{"LOG20260203-1.log": "#head\nx\nhal"}, map[string]string{
			"LOG20260203-1.log": "#head\nx\nhal\na\n",
		}},
		{"gives an empty file its header", map[string]string{"LOG20260203-1.log": ""}, map[string]string{
			"LOG20260203-1.log": "#head\na\n",
		}},
		{"begins the next number when full", map[string]string{"LOG20260203-1.log": "#head\n" + strings.Repeat("x", 30) + "\n"}, map[string]string{
			"LOG20260203-1.log": "#head\n" + strings.Repeat("x", 30) + "\n", "LOG20260203-2.log": "#head\na\n",
		}},
		{"leaves names alone that it does not make", map[string]string{
			"LOG20260203-01.log": "x", "LOG20260203-1.log.gz": "x", "LOG2026023-1.log": "x", "LOG20261302-1.log": "x",
			"LOG20260203-0.log": "x", "LOG20260203.log": "x", "OTHER20260203-4.log": "x", "LOG20260203-+5.log": "x",
		}, map[string]string{
			"LOG20260203-01.log": "x", "LOG20260203-1.log.gz": "x", "LOG2026023-1.log": "x", "LOG20261302-1.log": "x",
			"LOG20260203-0.log": "x", "LOG20260203.log": "x", "OTHER20260203-4.log": "x", "LOG20260203-+5.log": "x",
			"LOG20260203-1.log": "#head\na\n",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tt.before)
			w := open(t, Options{Directory: dir, MaxFileBytes: 30})
			w.Append(noon, []byte("a\n"))
			closeWriter(t, w)
			if diff := cmp.Diff(tt.want, contents(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOldFilesAreRemoved(t *testing.T) {
	before := map[string]string{
		"LOG20251231-1.log": "old", "LOG20260103-1.log": "31 days", "LOG20260104-1.log": "1234567890",
		"LOG20260202-1.log": "1234567890", "LOG20260202-2.log": "1234567890", "OTHER20200101-1.log": "x", "LOG20200101-1.txt": "x",
	}
	tests := []struct {
		name string
		max  int64
		want []string
	}{
		{"by age", 1000, []string{
			"LOG20260104-1.log", "LOG20260202-1.log", "LOG20260202-2.log",
			"LOG20260203-1.log", "LOG20200101-1.txt", "OTHER20200101-1.log",
		}},
		{"by size of the directory, oldest first", 30, []string{
			"LOG20260202-1.log", "LOG20260202-2.log", "LOG20260203-1.log", "LOG20200101-1.txt", "OTHER20200101-1.log",
		}},
		{"never the one being written", 1, []string{"LOG20260203-1.log", "LOG20200101-1.txt", "OTHER20200101-1.log"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, before)
			w := open(t, Options{Directory: dir, MaxDirectoryBytes: tt.max})
			w.Append(noon, []byte("a\n"))
			closeWriter(t, w)
			var got []string
			for name := range contents(t, dir) {
				got = append(got, name)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRowsWaitAMomentForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Directory: dir})
		w.Append(noon, []byte("a\n"))
		time.Sleep(DefaultFlushInterval - time.Nanosecond)
		synctest.Wait()
		if got := contents(t, dir); len(got) != 0 {
			t.Errorf("written early: %v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want := map[string]string{"LOG20260203-1.log": "#head\na\n"}
		if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
			t.Error(diff)
		}
		closeWriter(t, w)
	})
}

func TestTooManyRowsAreDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Directory: dir, MaxPendingBytes: 8})
		// The writer sleeps until the interval is over or a part of the limit waits.
		ok := []bool{w.Append(noon, []byte("1\n2\n3\n4\n")), w.Append(noon, []byte("5\n6\n"))}
		if diff := cmp.Diff([]bool{true, false}, ok); diff != "" {
			t.Error(diff)
		}
		w.Flush()
		if !w.Append(noon, []byte("7\n")) {
			t.Error("row dropped though there was room")
		}
		closeWriter(t, w)
		want := map[string]string{"LOG20260203-1.log": "#head\nlost 2\n1\n2\n3\n4\n7\n"}
		if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
			t.Error(diff)
		}
		if w.Lost() != 2 {
			t.Errorf("Lost() = %d, want 2", w.Lost())
		}
	})
}

// A directory that vanishes stands for a disk that takes no more: the tests run
// as root, to whom permissions mean nothing.
func TestFaultOfTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	var faults []error
	w := open(t, Options{Directory: dir, OnError: func(err error) { faults = append(faults, err) }})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !w.Append(noon, []byte("a\nb\n")) {
			t.Error("a fault of the disk reached the caller")
		}
		w.Flush()
	}
	if !w.Failing() || w.Lost() != 6 {
		t.Errorf("Failing() = %v, Lost() = %d, want true and 6", w.Failing(), w.Lost())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.Append(noon, []byte("c\n"))
	w.Flush()
	if w.Failing() {
		t.Error("still failing after a good write")
	}
	closeWriter(t, w)
	want := map[string]string{"LOG20260203-1.log": "#head\nlost 6\nc\n"}
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
	if len(faults) != 1 || !errors.Is(faults[0], os.ErrNotExist) {
		t.Errorf("OnError was told %v, want the one fault, once", faults)
	}
}

func TestHalfARowIsCutOffAgain(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	dir := t.TempDir()
	f := files{o: &Options{Directory: dir, Prefix: "LOG", MaxFileBytes: 100, OnError: func(error) {}, Now: time.Now}}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.file, f.day, f.number = full, dayOf(noon), 1
	if lost := f.write(dayOf(noon), []byte("a\nb\n")); lost != 2 || f.failure == nil {
		t.Errorf("lost = %d, failure = %v", lost, f.failure)
	}
	if lost := f.write(dayOf(noon), []byte("c\n")); lost != 0 || f.failure != nil {
		t.Errorf("after the fault: lost = %d, failure = %v", lost, f.failure)
	}
	f.close()
	if diff := cmp.Diff(map[string]string{"LOG20260203-1.log": "c\n"}, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestAfterClose(t *testing.T) {
	dir := t.TempDir()
	w := open(t, Options{Directory: dir})
	closeWriter(t, w)
	closeWriter(t, w)
	if w.Append(noon, []byte("a\n")) {
		t.Error("Append after Close reported true")
	}
	w.Flush()
	if w.Lost() != 1 {
		t.Errorf("Lost() = %d, want 1", w.Lost())
	}
	if _, err := Open(Options{Directory: filepath.Join(dir, "x\x00")}); err == nil {
		t.Error("a directory that cannot be made was accepted")
	}
}

func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	w := open(t, Options{Directory: dir, MaxFileBytes: 1000, FlushInterval: time.Millisecond})
	const writers, rows = 8, 200
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range rows {
				w.Append(noon, fmt.Appendf(nil, "%d %d\n", i, j))
			}
		})
	}
	wg.Wait()
	closeWriter(t, w)
	next := [writers]int{}
	total := 0
	for n := 1; ; n++ {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("LOG20260203-%d.log", n)))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 1000 {
			t.Errorf("file %d has %d octets", n, len(b))
		}
		for line := range strings.Lines(strings.TrimPrefix(string(b), "#head\n")) {
			var i, j int
			if _, err := fmt.Sscanf(line, "%d %d\n", &i, &j); err != nil {
				t.Fatalf("file %d: row %q: %v", n, line, err)
			}
			if j != next[i] {
				t.Fatalf("writer %d: row %d where %d was due", i, j, next[i])
			}
			next[i]++
			total++
		}
	}
	if total != writers*rows || w.Lost() != 0 {
		t.Errorf("%d rows, %d lost, want %d and 0", total, w.Lost(), writers*rows)
	}
}

func BenchmarkAppend(b *testing.B) {
	w, err := Open(Options{Directory: b.TempDir(), Prefix: "LOG"})
	if err != nil {
		b.Fatal(err)
	}
	row := []byte(strings.Repeat("x", 150) + "\n")
	b.ReportAllocs()
	for b.Loop() {
		w.Append(noon, row)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
