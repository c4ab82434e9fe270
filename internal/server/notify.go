package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier tells a service manager how the server is (sd_notify(3)). Its zero
// value tells nobody.
type Notifier struct {
	socket   string
	watchdog time.Duration // 0: none is wanted
}

// NotifierFromEnvironment returns the notifier that NOTIFY_SOCKET, WATCHDOG_USEC
// and WATCHDOG_PID ask for.
func NotifierFromEnvironment(getenv func(string) string, pid int) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	if p := getenv("WATCHDOG_PID"); p != "" && p != strconv.Itoa(pid) {
		return n
	}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Ready says that every listener is bound and mail is taken.
func (n Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that a reload has begun; Ready ends it.
func (n Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("reading the monotonic clock: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the server is going down.
func (n Notifier) Stopping() error { return n.send("STOPPING=1") }

// Watch tells the watchdog, twice per period, that the server is alive, as long
// as alive says so and until ctx ends. Without a watchdog it returns at once.
func (n Notifier) Watch(ctx context.Context, alive func() bool) {
	if n.watchdog == 0 || n.socket == "" {
		return
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		if alive() {
			_ = n.send("WATCHDOG=1") // if it cannot be told, the watchdog acts, as it should
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n Notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}
