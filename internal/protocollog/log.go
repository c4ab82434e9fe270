package protocollog

import (
	"fmt"
	"strconv"
	"time"

	"mailpact/internal/logfile"
)

// The prefixes and types of the two logs.
const (
	ReceivePrefix = "RECV"
	SendPrefix    = "SEND"
	ReceiveType   = "SMTP Receive Protocol Log"
	SendType      = "SMTP Send Protocol Log"
)

// Version stands in the files' headers. It names the set of fields, not the program.
const Version = "1.0"

// Fields are the names of the values of a row.
const Fields = "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"

// Options of a Log.
type Options struct {
	Directory string
	Prefix    string // ReceivePrefix or SendPrefix
	Type      string // ReceiveType or SendType
	Now       func() time.Time
	// OnError is told of faults of the disk when they begin; may be nil.
	OnError func(error)
	// The limits of the files in octets and time; 0: 10 MB, 250 MB, 30 days.
	MaxFileBytes, MaxDirectoryBytes int64
	MaxAge                          time.Duration
}

// Log is one protocol log. It is safe for concurrent use.
type Log struct {
	w   *logfile.Writer
	now func() time.Time
}

// Open opens a protocol log and begins to write it. Close ends it.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w, err := logfile.Open(logfile.Options{
		Directory:         o.Directory,
		Prefix:            o.Prefix,
		MaxFileBytes:      o.MaxFileBytes,
		MaxDirectoryBytes: o.MaxDirectoryBytes,
		MaxAge:            o.MaxAge,
		Now:               o.Now,
		OnError:           o.OnError,
		Header: func(now time.Time) []byte {
			return logfile.Header(o.Type, Version, Fields, now)
		},
		LostRow: func(now time.Time, n int64) []byte {
			b := logfile.AppendTime(nil, now)
			b = append(b, ",,,,,,*,"...)
			b = strconv.AppendInt(b, n, 10)
			return append(b, ",Rows lost\n"...)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("opening protocol log: %w", err)
	}
	return &Log{w: w, now: o.Now}, nil
}

// Lost returns the number of rows that could not be written since Open.
func (l *Log) Lost() int64 { return l.w.Lost() }

// Flush waits until the rows that were logged before are in the file, or lost.
func (l *Log) Flush() { l.w.Flush() }

// Close writes what is waiting and closes the file. Rows of sessions that go
// on are lost.
func (l *Log) Close() error {
	if err := l.w.Close(); err != nil {
		return fmt.Errorf("closing protocol log: %w", err)
	}
	return nil
}
