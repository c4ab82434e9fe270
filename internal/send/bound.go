package send

import (
	"context"
	"time"

	"mailpact/internal/queue"
)

// The waits of RFC 5321 are those of single steps. A host that uses each of them
// up would hold a worker of the queue for hours, so there are bounds on the whole.

// hostShare is when the next of some hosts must be ready: it has half of what is
// left of the time, so that one that lets us wait does not keep the others from
// being tried, and the last has all.
func hostShare(setUp context.Context, hosts int) time.Time {
	deadline, _ := setUp.Deadline()
	if hosts > 1 {
		deadline = deadline.Add(-time.Until(deadline) / 2)
	}
	return deadline
}

// carry is transact within the time for one message.
func (s *Sender) carry(ctx context.Context, a *attempt, c *session, j job) ([]queue.Outcome, *failure) {
	ctx, cancel := context.WithTimeout(ctx, s.o.TransactionTimeout+transferTime(j.delivery.Message.Size))
	defer cancel()
	return s.transact(ctx, a, c, j)
}

// transferTime is what a message of that many octets may take longer than a small one.
func transferTime(octets int64) time.Duration {
	const perSecond = 16 << 10 // slower than any line that carries such mail
	return time.Duration(min(octets/perSecond, int64(24*time.Hour/time.Second))) * time.Second
}
