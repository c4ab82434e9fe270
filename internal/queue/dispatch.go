package queue

// limit is how many workers the lane may have now.
func (q *Queue) limit(l *lane) int {
	switch {
	case l == q.suspects:
		return q.suspectsAtOnce()
	case l.failures > 0:
		return 1
	}
	most := q.settings().MaxConnectionsPerDestination
	if most <= 0 {
		most = max(q.o.WorkersPerQueue, DefaultMaxConnections)
	}
	return min(max(q.o.WorkersPerQueue, l.ready.len()/4), most)
}

// mayTry reports whether the lane may make attempts now.
func (q *Queue) mayTry(l *lane) bool {
	switch {
	case l == q.wishes:
		return true // also while the queue stops
	case !q.started || l.suspended:
		return false
	}
	return l.failures == 0 || !q.o.Now().Before(l.holdUntil)
}

// dispatch starts as many workers as the lane's demand and the limits allow.
func (q *Queue) dispatch(l *lane) {
	if l.ready.len() == 0 || !q.mayTry(l) {
		return
	}
	for l.ready.len() > 0 && l.workers < q.limit(l) {
		// What needs no destination is not held up by any.
		if !q.crew.free(l) && (l.number > 0 || l.workers > 0) {
			q.crew.starve(l)
			return
		}
		q.crew.begin(l.kind())
		l.workers++
		go q.worker(l, q.begin(l))
	}
}

// begin takes the lane's first delivery for an attempt.
func (q *Queue) begin(l *lane) *delivery {
	d := l.ready.pop()
	d.lane.active[d] = struct{}{} // of the lanes without a key, too
	d.wished = d.wish != 0
	d.stopped = d.lane.suspended
	if l == q.suspects {
		l.holdUntil = q.o.Now().Add(suspectPace)
		q.rearm(l)
	}
	return d
}

// next returns what a worker of the lane shall do now, or nil when it shall end.
func (q *Queue) next(l *lane) *delivery {
	if l.ready.len() == 0 || l.workers > q.limit(l) || !q.mayTry(l) {
		return nil
	}
	if q.crew.wanted(l.kind()) && l.number > 0 {
		return nil // others wait for a worker: lanes take turns
	}
	return q.begin(l)
}

// worker makes attempts for a lane as long as there is something to do.
func (q *Queue) worker(l *lane, d *delivery) {
	for d != nil {
		q.attempt(d)
		q.mu.Lock()
		d = q.next(l)
		if d == nil {
			l.workers--
			q.crew.running[l.kind()]--
			q.ended(&q.crew.total)
			q.feed()
			q.dispatch(l)
			if l.idle() {
				q.rearm(l)
			}
		}
		q.mu.Unlock()
	}
}

// feed gives free workers to lanes that wait for one.
func (q *Queue) feed() {
	for l := q.crew.fed(); l != nil; l = q.crew.fed() {
		q.dispatch(l)
	}
}
