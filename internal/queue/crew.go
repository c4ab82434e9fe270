package queue

// dnsDelivery is the DeliveryType of lanes whose next hops are the recipients'
// own. What these do is a stranger's choice: anybody can have a thousand domains
// whose hosts answer at the very last moment.
const dnsDelivery = "DnsConnectorDelivery"

// strangersShare is the part of the workers that DNS lanes may have together.
// The others are for hand-offs and smart hosts, which always find one.
func strangersShare(workers int) int { return max(1, workers*3/4) }

// kind tells the lanes that share a limit.
type kind int

const (
	kindOurs      kind = iota // an administrator has named the next hop
	kindStrangers             // DNS has
	kinds
)

func (l *lane) kind() kind {
	if l.key.DeliveryType == dnsDelivery {
		return kindStrangers
	}
	return kindOurs
}

// crew counts the workers that run, and keeps the lanes that wait for one. A
// lane gets another worker only while more are left for its kind than it has
// already, so that however many destinations hang, some are left for one more.
// Queue.mu guards it.
type crew struct {
	limit   [kinds]int
	running [kinds]int
	total   int // of running
	most    int

	starved [kinds][]*lane // first come first served
	turn    kind           // whose lane is next where both kinds wait
}

func newCrew(most int) crew {
	return crew{most: most, limit: [kinds]int{kindOurs: most, kindStrangers: strangersShare(most)}}
}

// free reports whether a lane may have one more worker.
func (c *crew) free(l *lane) bool {
	k := l.kind()
	return l.workers < min(c.most-c.total, c.limit[k]-c.running[k])
}

func (c *crew) begin(k kind) {
	c.running[k]++
	c.total++
}

// starve makes a lane wait for a worker.
func (c *crew) starve(l *lane) {
	if !l.starved {
		l.starved = true
		c.starved[l.kind()] = append(c.starved[l.kind()], l)
	}
}

// wanted reports whether another lane waits for the worker that one of kind k has.
func (c *crew) wanted(k kind) bool {
	if len(c.starved[k]) > 0 {
		return true
	}
	other := kinds - 1 - k
	return len(c.starved[other]) > 0 && c.running[other] < c.limit[other]
}

// fed returns the lane that is to have the next worker, or nil. The kinds take
// turns, and so do the lanes of each.
func (c *crew) fed() *lane {
	for range kinds {
		k := c.turn
		c.turn = kinds - 1 - k
		for range c.starved[k] {
			if c.total >= c.most || c.running[k] >= c.limit[k] {
				break
			}
			l := c.starved[k][0]
			c.starved[k][0] = nil
			c.starved[k] = c.starved[k][1:]
			if c.free(l) {
				l.starved = false
				return l
			}
			c.starved[k] = append(c.starved[k], l)
		}
	}
	return nil
}
