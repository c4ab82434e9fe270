package smtp

import "time"

// pause lets d pass before the next reply: a tarpit. What the client has been
// owed so far leaves first. A stopping server ends the pause, and so does the end
// of the session's time, early enough for the reply to be written.
func (l *loop) pause(d time.Duration) {
	if l.out.Flush() != nil {
		return // the error stays in the writer and comes back at the next flush
	}
	t := time.NewTimer(min(d, time.Until(l.wire.end)-drainGrace))
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.shutdown:
	}
}
