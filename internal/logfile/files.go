package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// day is a day of UTC, counted from 1970-01-01.
type day int64

func dayOf(t time.Time) day {
	const secondsPerDay = 24 * 60 * 60
	s := t.Unix()
	if s < 0 {
		s -= secondsPerDay - 1
	}
	return day(s / secondsPerDay)
}

const dayLayout = "20060102"

func (d day) String() string { return time.Unix(int64(d)*24*60*60, 0).UTC().Format(dayLayout) }

// maxNumber bounds the files of one day.
const maxNumber = 1_000_000

// files is the directory and the file that is being written. It is used by one
// goroutine at a time.
type files struct {
	o       *Options
	file    *os.File // nil: none is open
	day     day      // of file
	number  int      // of file
	size    int64    // of whole rows in file
	failure error    // of the last write; nil: it succeeded
}

func (f *files) open(o *Options) error {
	f.o = o
	if err := os.MkdirAll(o.Directory, 0o750); err != nil {
		return err
	}
	return f.removeOld(dayOf(o.Now()))
}

// write appends rows to the files of d and returns how many rows could not be written.
func (f *files) write(d day, rows []byte) (lost int64) {
	for len(rows) > 0 {
		n, err := f.writeSome(d, rows)
		rows = rows[n:]
		if err != nil {
			if f.failure == nil {
				f.o.OnError(err)
			}
			f.failure = err
			return int64(bytes.Count(rows, newline))
		}
		f.failure = nil
	}
	return 0
}

// writeSome writes the rows that still fit into the file of d, at least one if
// the file is new. After an error the file ends with a whole row.
func (f *files) writeSome(d day, rows []byte) (int, error) {
	if f.file == nil || d > f.day {
		if err := f.resume(d); err != nil {
			return 0, err
		}
	}
	n := f.fitting(rows)
	if n == 0 {
		if err := f.begin(f.day, f.number+1); err != nil {
			return 0, err
		}
		if n = f.fitting(rows); n == 0 {
			n = bytes.IndexByte(rows, '\n') + 1
		}
	}
	if err := f.append(rows[:n]); err != nil {
		return 0, err
	}
	return n, nil
}

// fitting returns the length of the rows that fit into the open file.
func (f *files) fitting(rows []byte) int {
	room := f.o.MaxFileBytes - f.size
	if int64(len(rows)) <= room {
		return len(rows)
	}
	if room <= 0 {
		return 0
	}
	return bytes.LastIndexByte(rows[:room], '\n') + 1
}

func (f *files) append(rows []byte) error {
	n, err := f.file.Write(rows)
	if err == nil {
		f.size += int64(n)
		return nil
	}
	// Half a row would be read as a row of its own.
	if n > 0 {
		if t := f.file.Truncate(f.size); t != nil {
			err = errors.Join(err, t)
		}
	}
	f.close()
	return fmt.Errorf("writing log: %w", err)
}

// resume opens the last file of d to go on in it, or makes the first one.
func (f *files) resume(d day) error {
	list, err := f.list()
	if err != nil {
		return err
	}
	last := 0
	for _, e := range list {
		if e.day == d {
			last = max(last, e.number)
		}
	}
	if last == 0 {
		return f.begin(d, 1)
	}
	f.close()
	file, err := os.OpenFile(f.path(d, last), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	size, err := mend(file)
	if err != nil {
		file.Close()
		return fmt.Errorf("opening log: %w", err)
	}
	f.file, f.day, f.number, f.size = file, d, last, size
	if size == 0 {
		return f.writeHeader()
	}
	return nil
}

// mend ends the last row of a file that a crash has cut, and returns the size.
func mend(file *os.File) (int64, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return size, err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], size-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	_, err = file.Write(newline)
	return size + 1, err
}

// begin makes a new file and removes old ones.
func (f *files) begin(d day, number int) error {
	if number > maxNumber {
		return fmt.Errorf("making log: more than %d files on %s", maxNumber, d)
	}
	f.close()
	file, err := os.OpenFile(f.path(d, number), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("making log: %w", err)
	}
	f.file, f.day, f.number, f.size = file, d, number, 0
	if err := f.writeHeader(); err != nil {
		return err
	}
	if err := f.removeOld(d); err != nil {
		f.o.OnError(err)
	}
	return nil
}

func (f *files) writeHeader() error {
	if f.o.Header == nil {
		return nil
	}
	return f.append(f.o.Header(f.o.Now()))
}

func (f *files) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

func (f *files) path(d day, number int) string {
	return filepath.Join(f.o.Directory, f.o.Prefix+d.String()+"-"+strconv.Itoa(number)+".log")
}

// entry is a file of ours in the directory.
type entry struct {
	path   string
	day    day
	number int
	size   int64
}

// list returns our files, oldest first.
func (f *files) list() ([]entry, error) {
	all, err := os.ReadDir(f.o.Directory)
	if err != nil {
		return nil, fmt.Errorf("listing logs: %w", err)
	}
	var list []entry
	for _, e := range all {
		d, number, ok := parseName(e.Name(), f.o.Prefix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed in the meantime
		}
		list = append(list, entry{path: filepath.Join(f.o.Directory, e.Name()), day: d, number: number, size: info.Size()})
	}
	slices.SortFunc(list, func(a, b entry) int {
		if a.day != b.day {
			return int(a.day - b.day)
		}
		return a.number - b.number
	})
	return list, nil
}

func parseName(name, prefix string) (d day, number int, ok bool) {
	name, ok = strings.CutPrefix(name, prefix)
	if !ok {
		return 0, 0, false
	}
	if name, ok = strings.CutSuffix(name, ".log"); !ok {
		return 0, 0, false
	}
	date, n, ok := strings.Cut(name, "-")
	if !ok {
		return 0, 0, false
	}
	t, err := time.Parse(dayLayout, date)
	if err != nil {
		return 0, 0, false
	}
	number, err = strconv.Atoi(n)
	if err != nil || number < 1 || number > maxNumber || strconv.Itoa(number) != n {
		return 0, 0, false
	}
	return dayOf(t), number, true
}

// removeOld removes our files that are too old at today, then the oldest until
// the rest is within the limit of the directory. The file that is being written
// stays.
func (f *files) removeOld(today day) error {
	list, err := f.list()
	if err != nil {
		return err
	}
	var total int64
	for _, e := range list {
		total += e.size
	}
	var errs []error
	for _, e := range list {
		age := time.Duration(today-e.day) * 24 * time.Hour
		if age <= f.o.MaxAge && total <= f.o.MaxDirectoryBytes || f.file != nil && e.day == f.day && e.number == f.number {
			continue
		}
		total -= e.size
		if err := os.Remove(e.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing old log: %w", err))
		}
	}
	return errors.Join(errs...)
}
