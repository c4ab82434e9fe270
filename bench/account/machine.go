package account

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Machine is the CPU time of all processors since the start of the machine.
type Machine struct {
	User   time.Duration // with nice
	Busy   time.Duration // everything but idle and waiting
	Stolen time.Duration // by other virtual machines; part of Busy
	Total  time.Duration
}

// ReadMachine reads /proc/stat.
func ReadMachine() (Machine, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}, fmt.Errorf("reading machine: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return parseMachine(line)
}

// parseMachine reads the first line of /proc/stat (proc(5)).
func parseMachine(line string) (Machine, error) {
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return Machine{}, errors.New("reading machine: /proc/stat does not begin with the sum of its processors")
	}
	var t [8]time.Duration // user, nice, system, idle, iowait, irq, softirq, steal
	var m Machine
	for i := range t {
		n, err := strconv.ParseInt(f[1+i], 10, 64)
		if err != nil {
			return Machine{}, fmt.Errorf("reading machine: %w", err)
		}
		t[i] = time.Duration(n) * tick
		m.Total += t[i]
	}
	m.User, m.Busy, m.Stolen = t[0]+t[1], m.Total-t[3]-t[4], t[7]
	return m, nil
}

// Minus returns what happened since before.
func (m Machine) Minus(before Machine) Machine {
	return Machine{
		User: m.User - before.User, Busy: m.Busy - before.Busy,
		Stolen: m.Stolen - before.Stolen, Total: m.Total - before.Total,
	}
}

// Shares says how undisturbed a measurement was.
type Shares struct {
	Idle float64 `json:"idle"`
	// Foreign is user time of processes that do not belong to the
	// measurement. System time is left out: kernel threads that write a
	// server's files are nobody's, and yet not foreign.
	Foreign float64 `json:"foreign"`
	Stolen  float64 `json:"stolen"`
}

// SharesOf compares what the machine did in all with what the measurement's own
// processes used.
func SharesOf(machine Machine, own Usage) Shares {
	if machine.Total <= 0 {
		return Shares{}
	}
	share := func(d time.Duration) float64 { return max(0, float64(d)/float64(machine.Total)) }
	return Shares{
		Idle: share(machine.Total - machine.Busy), Foreign: share(machine.User - own.User), Stolen: share(machine.Stolen),
	}
}
