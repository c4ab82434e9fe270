package sink

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// marker stands before the sequence number, which has numberDigits digits.
var marker = []byte("X-Bench-Seq: ")

const numberDigits = 10

// maxNumber bounds what the ledger remembers.
const maxNumber = 100_000_000

// ledger counts messages by their number.
type ledger struct {
	mu         sync.Mutex
	seen       []uint8 // by number; 255 stays
	messages   int64
	distinct   int64
	unnumbered int64
	first      time.Time
	last       time.Time
}

// add counts a message; a negative number is one that had none.
func (l *ledger) add(number int64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages++
	if l.first.IsZero() {
		l.first = now
	}
	l.last = now
	if number < 0 || number > maxNumber {
		l.unnumbered++
		return
	}
	if grow := int(number) + 1 - len(l.seen); grow > 0 {
		l.seen = append(l.seen, make([]uint8, grow)...)
	}
	if l.seen[number] == 0 {
		l.distinct++
	}
	if l.seen[number] < 255 {
		l.seen[number]++
	}
}

// progress returns what counts for the decision to end.
func (l *ledger) progress() (distinct int64, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.distinct, l.last
}

// finder looks for the number in a body that comes in slices.
type finder struct {
	number  int64 // negative: not found yet
	carried []byte
}

func (f *finder) reset() { f.number, f.carried = -1, f.carried[:0] }

// maxCarried is how much of a header is searched.
const maxCarried = 16 << 10

// look takes the next slice of the body.
func (f *finder) look(b []byte) {
	if f.number >= 0 || len(f.carried) > maxCarried {
		return
	}
	if len(f.carried) > 0 {
		f.carried = append(f.carried, b[:min(len(b), maxCarried)]...)
		b = f.carried
	}
	i := bytes.Index(b, marker)
	if end := i + len(marker) + numberDigits; i >= 0 && end <= len(b) {
		if n, err := strconv.ParseUint(string(b[end-numberDigits:end]), 10, 63); err == nil {
			f.number = int64(n)
		}
		return
	}
	if len(f.carried) == 0 {
		f.carried = append(f.carried, b[:min(len(b), maxCarried+1)]...)
	}
}
