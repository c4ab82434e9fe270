package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mailpact/bench/account"
	"mailpact/bench/load"
	"mailpact/bench/peers"
	"mailpact/bench/sink"
	"mailpact/bench/stage"
)

// Options are what is common to all runs.
type Options struct {
	Program  string // this program, for the roles "load" and "sink"
	Stage    *stage.Stage
	Queues   string   // folder on the file system where queues are to be
	Mailpact []string // command, with "serve"
	Duration time.Duration
	Rival    Rival
}

const (
	// settle is what a freshly started server gets before the load.
	settle = 700 * time.Millisecond
	// drain is how long nothing may come to the sink before the rest is lost.
	drain = 20 * time.Second
)

// Rival is what Mailpact is compared with.
type Rival struct {
	// Name is what the tables call it; empty: there is none.
	Name string
	New  func(peers.Options) peers.Peer
}

// RunPair measures both servers under a cell's load.
func RunPair(ctx context.Context, o Options, c Cell, report func(*Result)) (Pair, error) {
	var p Pair
	var err error
	if o.Rival.Name != "" {
		if p.Rival, err = runOne(ctx, o, c, o.Rival.New); err != nil {
			return p, err
		}
		p.Rival.Server = o.Rival.Name
		report(p.Rival)
	}
	own := func(po peers.Options) peers.Peer { return peers.NewMailpact(po, o.Mailpact) }
	if p.Mailpact, err = runOne(ctx, o, c, own); err != nil {
		return p, err
	}
	report(p.Mailpact)
	return p, nil
}

// runOne starts a sink and a server, makes the load, and takes all down again.
func runOne(ctx context.Context, o Options, c Cell, newPeer func(peers.Options) peers.Peer) (_ *Result, err error) {
	directory, err := os.MkdirTemp(o.Queues, "peer")
	if err != nil {
		return nil, fmt.Errorf("making the server's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := os.Chmod(directory, 0o755); err != nil {
		return nil, fmt.Errorf("making the server's folder: %w", err)
	}
	address, err := stage.FreeAddress()
	if err != nil {
		return nil, err
	}
	k, err := startChild(o.Program, "sink", sink.Options{Address: "127.0.0.1:0", Hostname: stage.SinkHost, Credentials: o.Stage.Sink})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.end()) }()
	var sinkAddress string
	if err := k.receive(&sinkAddress); err != nil {
		return nil, err
	}
	group := account.NewGroup("mailpact-bench-" + filepath.Base(directory))
	defer func() { err = errors.Join(err, group.Close()) }()
	peer := newPeer(peers.Options{Stage: o.Stage, Directory: directory, Address: address, SinkAddress: sinkAddress})
	defer func() { err = errors.Join(err, peer.Stop()) }()
	if err := peer.Start(ctx, group); err != nil {
		return nil, err
	}
	syscall.Sync() // what earlier runs left to write is not this one's
	time.Sleep(settle)
	return measure(ctx, o, c, subject{peer: peer, group: group, sink: k, address: address})
}

// subject is a server ready to be measured.
type subject struct {
	peer    peers.Peer
	group   account.Group
	sink    *child
	address string
}

func measure(ctx context.Context, o Options, c Cell, s subject) (*Result, error) {
	r := &Result{Server: s.peer.Name(), Accounts: s.group.How()}
	peakCtx, stopPeak := context.WithCancel(ctx)
	peak := account.Peak(peakCtx, s.group)
	err := s.drive(o, c, r)
	stopPeak()
	r.PeakBytes = <-peak
	if err != nil {
		return nil, err
	}
	if err := s.peer.Check(ctx, r.Load.Accepted); err != nil {
		r.Faults = append(r.Faults, err.Error())
	}
	r.complete()
	return r, nil
}

// drive makes the load, waits for the last message, and reads the accounts
// before and after.
func (s *subject) drive(o Options, c Cell, r *Result) error {
	cpu, err := s.group.Usage()
	if err != nil {
		return err
	}
	machine, err := account.ReadMachine()
	if err != nil {
		return err
	}
	l, err := startChild(o.Program, "load", load.Options{
		Address: s.address, ServerName: stage.GatewayHost, Credentials: o.Stage.Client, EHLO: stage.ClientDomain,
		From: "sender@" + stage.ClientDomain, To: "rcpt@" + stage.SinkDomain,
		Connections: c.Connections, MessagesPerSession: c.MessagesPerSession, MessageBytes: c.MessageBytes, Duration: o.Duration,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(l.receive(&r.Load), l.end()); err != nil {
		return err
	}
	if err := s.sink.say.Encode(sink.Wait{Distinct: r.Load.Accepted, Idle: drain}); err != nil {
		return fmt.Errorf("instructing the sink: %w", err)
	}
	var arrived bool
	if err := s.sink.receive(&arrived); err != nil {
		return err
	}
	cpuAfter, err := s.group.Usage()
	if err != nil {
		return err
	}
	machineAfter, err := account.ReadMachine()
	if err != nil {
		return err
	}
	// Its connections are cut only now, so that the server's cost is the messages' alone.
	s.sink.in.Close()
	if err := errors.Join(s.sink.receive(&r.Sink), s.sink.end()); err != nil {
		return err
	}
	r.CPU, r.LoadCPU, r.SinkCPU = cpuAfter.Minus(cpu), l.usage(), s.sink.usage()
	r.Shares = account.SharesOf(machineAfter.Minus(machine), r.CPU.Plus(r.LoadCPU).Plus(r.SinkCPU))
	return nil
}
