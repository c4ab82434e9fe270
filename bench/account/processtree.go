package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc on Linux (USER_HZ).
const tick = time.Second / 100

// processTree is a group by /proc alone: a process and all below it. A process
// that ends is counted by its parent's account of children.
type processTree struct {
	cmd *exec.Cmd
}

// process is what /proc tells of one.
type process struct {
	parent int
	usage  Usage // its own and that of children it has waited for
}

// Command implements Group.
func (g *processTree) Command(name string, args ...string) *exec.Cmd {
	g.cmd = exec.Command(name, args...)
	return g.cmd
}

// Usage implements Group.
func (g *processTree) Usage() (Usage, error) {
	all, members, err := g.members()
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for _, pid := range members {
		sum = sum.Plus(all[pid].usage)
	}
	return sum, nil
}

// AnonymousBytes implements Group.
func (g *processTree) AnonymousBytes() (int64, error) {
	_, members, err := g.members()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range members {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		sum += anonymousOf(string(b))
	}
	return sum, nil
}

// How implements Group.
func (g *processTree) How() string { return "/proc" }

// Close implements Group. Who started the process has ended it.
func (g *processTree) Close() error { return nil }

func (g *processTree) members() (map[int]process, []int, error) {
	if g.cmd == nil || g.cmd.Process == nil {
		return nil, nil, errors.New("reading accounts: nothing was started")
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, nil, fmt.Errorf("reading accounts: %w", err)
	}
	all := make(map[int]process)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if pid, p, err := parseStat(string(b)); err == nil {
			all[pid] = p
		}
	}
	return all, below(all, g.cmd.Process.Pid), nil
}

// below returns root and all its descendants.
func below(all map[int]process, root int) []int {
	children := make(map[int][]int)
	for pid, p := range all {
		children[p.parent] = append(children[p.parent], pid)
	}
	members := []int{}
	if _, ok := all[root]; ok {
		members = append(members, root)
	}
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i]]...)
	}
	return members
}

// parseStat reads a line of /proc/PID/stat (proc(5)).
func parseStat(line string) (pid int, p process, err error) {
	// The name stands in parentheses and may hold any octet.
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return 0, process{}, errors.New("reading process: no name")
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(line[:open])); err != nil {
		return 0, process{}, fmt.Errorf("reading process: %w", err)
	}
	f := strings.Fields(line[end+1:]) // from field 3, the state, on
	if len(f) < 15 {
		return 0, process{}, errors.New("reading process: the line is short")
	}
	if p.parent, err = strconv.Atoi(f[1]); err != nil {
		return 0, process{}, fmt.Errorf("reading process: %w", err)
	}
	var ticks [4]int64 // utime, stime, cutime, cstime
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(f[11+i], 10, 64); err != nil {
			return 0, process{}, fmt.Errorf("reading process: %w", err)
		}
	}
	p.usage = Usage{User: time.Duration(ticks[0]+ticks[2]) * tick, System: time.Duration(ticks[1]+ticks[3]) * tick}
	return pid, p, nil
}

// anonymousOf reads RssAnon of /proc/PID/status.
func anonymousOf(status string) int64 {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}
