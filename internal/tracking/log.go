package tracking

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailpact/internal/logfile"
)

// Prefix of the file names, type and version in the files' headers.
const (
	Prefix  = "MSGTRK"
	Type    = "Message Tracking Log"
	Version = "1.0"
)

// Fields are the names of the values of a row.
const Fields = "date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id," +
	"internal-message-id,message-id,recipient-address,recipient-status,total-bytes,recipient-count," +
	"related-recipient-address,reference,message-subject,sender-address,return-path,message-info"

// Options of a Log.
type Options struct {
	Directory string
	Now       func() time.Time
	// OmitSubjects leaves the message-subject field empty.
	OmitSubjects bool
	// OnError is told of faults of the disk when they begin; may be nil.
	OnError func(error)
	// The limits of the files in octets and time; 0: 10 MB, 250 MB, 30 days.
	MaxFileBytes, MaxDirectoryBytes int64
	MaxAge                          time.Duration
}

// Log is the message tracking log. It is safe for concurrent use.
type Log struct {
	w        *logfile.Writer
	now      func() time.Time
	subjects bool
	buffers  sync.Pool // of *[]byte
}

// Open opens the log and begins to write it. Close ends it.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w, err := logfile.Open(logfile.Options{
		Directory:         o.Directory,
		Prefix:            Prefix,
		MaxFileBytes:      o.MaxFileBytes,
		MaxDirectoryBytes: o.MaxDirectoryBytes,
		MaxAge:            o.MaxAge,
		Now:               o.Now,
		OnError:           o.OnError,
		Header:            func(now time.Time) []byte { return logfile.Header(Type, Version, Fields, now) },
		LostRow:           lostRow,
	})
	if err != nil {
		return nil, fmt.Errorf("opening message tracking log: %w", err)
	}
	return &Log{
		w: w, now: o.Now, subjects: !o.OmitSubjects,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// lostRow says in source-context how many rows could not be written.
func lostRow(now time.Time, n int64) []byte {
	b := logfile.AppendTime(nil, now)
	b = append(b, ",,,,,rows lost: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, strings.Repeat(",", strings.Count(Fields, ",")-5)+"\n"...)
}

// Record writes an event. It does not wait for the disk, and neither keeps nor
// changes what the event refers to. A nil Log records nothing.
func (l *Log) Record(e Event) {
	if l == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	p, _ := l.buffers.Get().(*[]byte)
	*p = e.appendTo((*p)[:0], l.subjects)
	l.w.Append(e.Time, *p)
	l.buffers.Put(p)
}

// Lost returns the number of rows that could not be written since Open.
func (l *Log) Lost() int64 { return l.w.Lost() }

// Flush waits until the rows that were recorded before are in the file, or lost.
func (l *Log) Flush() { l.w.Flush() }

// Close writes what is waiting and closes the file.
func (l *Log) Close() error {
	if err := l.w.Close(); err != nil {
		return fmt.Errorf("closing message tracking log: %w", err)
	}
	return nil
}
