package logfile

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// The defaults of Options.
const (
	DefaultMaxFileBytes      = 10 << 20
	DefaultMaxDirectoryBytes = 250 << 20
	DefaultMaxAge            = 30 * 24 * time.Hour
	DefaultFlushInterval     = 200 * time.Millisecond
	DefaultMaxPendingBytes   = 8 << 20
)

// Options say where and how a Writer writes. Limits that are 0 take the default.
type Options struct {
	Directory string // made if it does not exist
	Prefix    string // of file names: Prefix + "20060102-1.log"
	// Header returns the first lines of a new file, line ends included; nil: none.
	Header func(now time.Time) []byte
	// LostRow returns the row that says that n rows were lost; nil: none is written.
	LostRow func(now time.Time, n int64) []byte

	MaxFileBytes      int64         // of one file
	MaxDirectoryBytes int64         // of all files of this prefix
	MaxAge            time.Duration // of a file, by the day in its name
	FlushInterval     time.Duration // how long a row may wait
	MaxPendingBytes   int           // rows waiting for the disk

	Now func() time.Time // nil: time.Now
	// OnError is told of each fault of the disk when it begins, and may be
	// nil. It is called by the writing goroutine.
	OnError func(error)
}

func (o *Options) setDefaults() {
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = DefaultMaxFileBytes
	}
	if o.MaxDirectoryBytes == 0 {
		o.MaxDirectoryBytes = DefaultMaxDirectoryBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.FlushInterval == 0 {
		o.FlushInterval = DefaultFlushInterval
	}
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = DefaultMaxPendingBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
}

// Writer is a log in files. It is safe for concurrent use.
type Writer struct {
	o      Options
	files  files // of the writing goroutine alone
	wake   chan struct{}
	full   chan struct{}
	closed chan struct{}
	done   chan struct{}

	mu       sync.Mutex // guards what follows
	pending  []byte
	marks    []mark // where in pending a day begins
	dropped  int64  // rows not yet reported
	lost     int64  // rows in all
	failing  bool
	isClosed bool
	flushes  []chan struct{}
}

// mark says that the rows from offset on belong to day.
type mark struct {
	offset int
	day    day
}

// Open makes the directory, removes what is too old in it and starts the
// writing goroutine, which Close ends.
func Open(o Options) (*Writer, error) {
	o.setDefaults()
	w := &Writer{
		o:      o,
		wake:   make(chan struct{}, 1),
		full:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
	}
	if err := w.files.open(&w.o); err != nil {
		return nil, fmt.Errorf("opening log %s: %w", o.Prefix, err)
	}
	go w.run()
	return w, nil
}

// Append hands over rows, each with its line end, that happened at now. It
// copies them and never waits for the disk; it reports false when they were
// dropped because too many wait, or because the Writer is closed.
func (w *Writer) Append(now time.Time, rows []byte) bool {
	d := dayOf(now)
	w.mu.Lock()
	if w.isClosed || len(w.pending)+len(rows) > w.o.MaxPendingBytes {
		n := int64(bytes.Count(rows, newline))
		w.dropped += n
		w.lost += n
		w.mu.Unlock()
		return false
	}
	first := len(w.pending) == 0
	// A clock that goes back does not open yesterday's file again.
	if len(w.marks) == 0 || d > w.marks[len(w.marks)-1].day {
		w.marks = append(w.marks, mark{offset: len(w.pending), day: d})
	}
	w.pending = append(w.pending, rows...)
	half := len(w.pending) > w.o.MaxPendingBytes/8
	w.mu.Unlock()
	if first {
		signal(w.wake)
	}
	if half {
		signal(w.full)
	}
	return true
}

var newline = []byte{'\n'}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Lost returns the number of rows that were dropped since Open.
func (w *Writer) Lost() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Failing reports whether the last write to the disk failed.
func (w *Writer) Failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing
}

// Flush waits until what was appended before has been written, or dropped
// because it cannot be.
func (w *Writer) Flush() {
	c := make(chan struct{})
	w.mu.Lock()
	if w.isClosed {
		w.mu.Unlock()
		<-w.done
		return
	}
	w.flushes = append(w.flushes, c)
	w.mu.Unlock()
	signal(w.wake)
	signal(w.full)
	<-c
}

// Close writes what is pending and closes the file. Rows appended later are
// dropped. It returns the fault of the disk, if the last write had one, and is
// safe to call again.
func (w *Writer) Close() error {
	w.mu.Lock()
	already := w.isClosed
	w.isClosed = true
	w.mu.Unlock()
	if !already {
		close(w.closed)
	}
	<-w.done
	return w.files.failure
}

// run is the writing goroutine. It waits for a first row, then lets others
// gather for a moment.
func (w *Writer) run() {
	defer close(w.done)
	timer := time.NewTimer(w.o.FlushInterval)
	timer.Stop()
	var spare []byte
	var marks []mark
	for closing := false; !closing; {
		select {
		case <-w.wake:
			timer.Reset(w.o.FlushInterval)
			select {
			case <-timer.C:
			case <-w.full:
			case <-w.closed:
				closing = true
			}
			timer.Stop()
		case <-w.closed:
			closing = true
		}
		spare, marks = w.flush(spare, marks)
	}
	w.files.close()
}

// flush writes what is pending and returns its buffers, to be used again.
func (w *Writer) flush(spare []byte, spareMarks []mark) ([]byte, []mark) {
	w.mu.Lock()
	rows, marks := w.pending, w.marks
	w.pending, w.marks = spare[:0], spareMarks[:0]
	dropped := w.dropped
	w.dropped = 0
	waiting := w.flushes
	w.flushes = nil
	w.mu.Unlock()

	var lost int64
	if dropped > 0 && w.o.LostRow != nil {
		now := w.o.Now()
		if w.files.write(dayOf(now), w.o.LostRow(now, dropped)) != 0 {
			lost = dropped // to be said later
		}
	}
	var again int64 // rows of this batch that could not be written
	for i, m := range marks {
		end := len(rows)
		if i+1 < len(marks) {
			end = marks[i+1].offset
		}
		again += w.files.write(m.day, rows[m.offset:end])
	}

	w.mu.Lock()
	w.dropped += lost + again
	w.lost += again
	w.failing = w.files.failure != nil
	w.mu.Unlock()
	for _, c := range waiting {
		close(c)
	}
	if cap(rows) > w.o.MaxPendingBytes/4 {
		rows = nil // a burst's buffer is not kept
	}
	return rows, marks
}
