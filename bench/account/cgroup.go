package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroup is a group in the cpuacct and memory controllers of cgroup v1.
type cgroup struct {
	cpu, memory string // directories
}

func newCgroup(root, name string) (*cgroup, error) {
	g := &cgroup{cpu: filepath.Join(root, "cpuacct", name), memory: filepath.Join(root, "memory", name)}
	for _, dir := range []string{g.cpu, g.memory} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "cgroup.procs")); err != nil {
			return nil, fmt.Errorf("making process group: %w", err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("making process group: %w", err), g.Close())
		}
	}
	return g, nil
}

// Command implements Group. The shell enters the group and becomes the command.
func (g *cgroup) Command(name string, args ...string) *exec.Cmd {
	const enter = `echo $$ > "$0/cgroup.procs" && echo $$ > "$1/cgroup.procs" && shift && exec "$@"`
	return exec.Command("/bin/sh", append([]string{"-c", enter, g.cpu, g.memory, name}, args...)...)
}

// Usage implements Group.
func (g *cgroup) Usage() (Usage, error) {
	user, err := readNumber(filepath.Join(g.cpu, "cpuacct.usage_user"))
	if err != nil {
		return Usage{}, err
	}
	system, err := readNumber(filepath.Join(g.cpu, "cpuacct.usage_sys"))
	return Usage{User: time.Duration(user), System: time.Duration(system)}, err
}

// AnonymousBytes implements Group.
func (g *cgroup) AnonymousBytes() (int64, error) {
	b, err := os.ReadFile(filepath.Join(g.memory, "memory.stat"))
	if err != nil {
		return 0, fmt.Errorf("reading memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "total_rss "); ok {
			return strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return 0, errors.New("reading memory: total_rss is missing")
}

// How implements Group.
func (g *cgroup) How() string { return "cgroup" }

// Close implements Group. It ends only processes of this group.
func (g *cgroup) Close() error {
	for try := range 50 {
		b, err := os.ReadFile(filepath.Join(g.cpu, "cgroup.procs"))
		if err != nil || len(b) == 0 {
			break
		}
		signal := syscall.SIGTERM
		if try > 30 {
			signal = syscall.SIGKILL
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && (try == 0 || try > 30) {
				_ = syscall.Kill(pid, signal) // gone already is as good
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	var errs []error
	for _, dir := range []string{g.cpu, g.memory} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing process group: %w", err))
		}
	}
	return errors.Join(errs...)
}

func readNumber(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("reading account: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading account %s: %w", file, err)
	}
	return n, nil
}
