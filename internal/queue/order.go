package queue

import (
	"container/heap"
	"slices"
)

// fifo is a queue of deliveries that gives its memory back.
type fifo struct {
	items []*delivery
	head  int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(d *delivery) { f.items = append(f.items, d) }

func (f *fifo) pop() *delivery {
	d := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
		if cap(f.items) > 4096 {
			f.items = nil
		}
	} else if f.head >= 1024 && f.head*2 >= len(f.items) {
		f.items = slices.Delete(f.items, 0, f.head)
		f.head = 0
	}
	return d
}

// all returns the deliveries in order.
func (f *fifo) all() []*delivery { return f.items[f.head:] }

// deliveries is a heap by due time.
type deliveries []*delivery

func (h deliveries) Len() int           { return len(h) }
func (h deliveries) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h deliveries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *deliveries) Push(x any) { *h = append(*h, x.(*delivery)) }

// Pop is heap.Interface's.
func (h *deliveries) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}

// timers is a heap of lanes by the time they want to be looked at.
type timers []*lane

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = i+1, j+1
}

// Push is heap.Interface's.
func (h *timers) Push(x any) {
	l := x.(*lane)
	*h = append(*h, l)
	l.timer = len(*h)
}

// Pop is heap.Interface's.
func (h *timers) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.timer = 0
	return l
}

// keep leaves in the fifo what keep says.
func (f *fifo) keep(keep func(*delivery) bool) {
	kept := f.all()[:0]
	for _, d := range f.all() {
		if keep(d) {
			kept = append(kept, d)
		}
	}
	clear(f.all()[len(kept):])
	f.items = f.items[:f.head+len(kept)]
}

// keep leaves in the heap what keep says.
func (h *deliveries) keep(keep func(*delivery) bool) {
	all := len(*h)
	*h = slices.DeleteFunc(*h, func(d *delivery) bool { return !keep(d) })
	if len(*h) < all {
		heap.Init(h)
	}
}
