package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mailpact/bench/account"
	"mailpact/bench/peers"
	"mailpact/bench/stage"
	"mailpact/bench/trial"
)

// runOptions are the flags of run.
type runOptions struct {
	cells    string
	pairs    int
	attempts int
	patience time.Duration
	duration time.Duration
	imageMB  int
	binary   string
	profile  string
	results  string
	alone    bool
	against  string
}

func newRun() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Measure durable relay over mutual TLS: Postfix and Mailpact in turn",
		Long: `Measure durable relay over mutual TLS on both sides: Postfix and Mailpact in turn,
with load and sink as processes of their own. As root the queues lie on a fresh
journaled ext4 image. Prints a Markdown table and writes all figures as JSON.

Exit code 1: a run failed, or a message was lost or came twice.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr()) },
	}
	f := c.Flags()
	f.StringVar(&o.cells, "cells", "", "cells, separated by commas, or all (default the first, "+trial.Cells()[0].Name+")")
	f.IntVar(&o.pairs, "pairs", 3, "undisturbed pairs of runs wanted for each cell")
	f.IntVar(&o.attempts, "attempts", 0, "pairs tried at most for each cell (default twice --pairs)")
	f.DurationVar(&o.patience, "patience", 0, "how long each pair waits at most for the machine to become quiet")
	f.DurationVar(&o.duration, "duration", 8*time.Second, "how long the load lasts in each run")
	f.IntVar(&o.imageMB, "image", 2048, "size in MB of the image for the queues")
	f.StringVar(&o.binary, "mailpact", "bin/mailpact", "the program to measure")
	f.StringVar(&o.profile, "profile", "", "run Mailpact inside the bench, and write its profiles to this folder")
	f.StringVar(&o.results, "results", "bench/results", "folder for the figures as JSON")
	f.BoolVar(&o.alone, "alone", false, "leave Postfix out")
	f.StringVar(&o.against, "against", "", "compare with this other build of Mailpact, instead of Postfix")
	c.MarkFlagsMutuallyExclusive("alone", "against")
	return c
}

// record is the JSON file of a whole run.
type record struct {
	Date      time.Time       `json:"date"`
	Machine   machine         `json:"machine"`
	Rival     string          `json:"rival"`  // with its version, or why there is none
	Queues    string          `json:"queues"` // file system
	Duration  string          `json:"duration"`
	Summaries []trial.Summary `json:"summaries"`
}

type machine struct {
	Processors int    `json:"processors"`
	Go         string `json:"go"`
	Kernel     string `json:"kernel"`
}

func run(ctx context.Context, o runOptions, out, errOut io.Writer) (err error) {
	cells, err := trial.Choose(o.cells)
	if err != nil {
		return err
	}
	t, err := prepare(o, errOut)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	rec := record{
		Date: time.Now().UTC(), Queues: t.queues, Duration: o.duration.String(),
		Machine: machine{Processors: runtime.NumCPU(), Go: runtime.Version(), Kernel: kernel()},
	}
	t.options.Rival, rec.Rival = rival(ctx, o)
	fmt.Fprintf(errOut, "bench: %d processors, %s, queues on %s\n", rec.Machine.Processors, rec.Rival, rec.Queues)
	sound := true
	for _, c := range cells {
		s, err := measureCell(ctx, t.options, c, o, errOut)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", c.Title, err)
		}
		rec.Summaries = append(rec.Summaries, s)
		for _, p := range s.Pairs {
			sound = sound && len(p.Faults()) == 0
		}
	}
	fmt.Fprintf(out, "Against %s; queues on %s, %d processors, load of %s a run, medians.\n\n", rec.Rival, rec.Queues, rec.Machine.Processors, rec.Duration)
	name := t.options.Rival.Name
	if name == "" {
		name = "Postfix" // its columns stay empty
	}
	if err := errors.Join(trial.WriteTable(out, name, rec.Summaries), write(o.results, rec)); err != nil {
		return err
	}
	if !sound {
		return errors.New("not every run delivered each message exactly once")
	}
	return nil
}

// rival says what Mailpact is compared with, and what to call it in the record.
func rival(ctx context.Context, o runOptions) (trial.Rival, string) {
	if o.against != "" {
		other := []string{o.against, "serve"}
		return trial.Rival{Name: "Other", New: func(po peers.Options) peers.Peer { return peers.NewMailpact(po, other) }}, o.against
	}
	if o.alone {
		return trial.Rival{}, "nobody"
	}
	if missing := peers.PostfixMissing(); missing != nil {
		return trial.Rival{}, "nobody: " + missing.Error()
	}
	return trial.Rival{Name: "Postfix", New: func(po peers.Options) peers.Peer { return peers.NewPostfix(po) }},
		"Postfix " + peers.PostfixVersion(ctx)
}

// measureCell runs pairs until enough were undisturbed, or all attempts are used up.
func measureCell(ctx context.Context, o trial.Options, c trial.Cell, r runOptions, errOut io.Writer) (trial.Summary, error) {
	fmt.Fprintf(errOut, "bench: %s\n", c.Title)
	var pairs []trial.Pair
	quiet, most := 0, r.attempts
	if most == 0 {
		most = 2 * r.pairs
	}
	for len(pairs) < most && quiet < r.pairs {
		if _, err := account.AwaitQuiet(ctx, r.patience); err != nil {
			return trial.Summary{}, err
		}
		p, err := trial.RunPair(ctx, o, c, func(r *trial.Result) { fmt.Fprintf(errOut, "  %s\n", r.Line()) })
		if err != nil {
			return trial.Summary{}, err
		}
		pairs = append(pairs, p)
		if p.Quiet() && len(p.Faults()) == 0 {
			quiet++
		}
	}
	return trial.Summarise(c, pairs, r.pairs), nil
}

// theatre is what run has set up.
type theatre struct {
	options trial.Options
	queues  string // file system, in words
	undo    []func() error
}

func (t *theatre) close() error {
	var errs []error
	for i := len(t.undo) - 1; i >= 0; i-- {
		errs = append(errs, t.undo[i]())
	}
	return errors.Join(errs...)
}

func prepare(o runOptions, errOut io.Writer) (_ *theatre, err error) {
	t := &theatre{}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return nil, fmt.Errorf("finding Mailpact: %w", err)
	}
	if err := t.lock(errOut); err != nil {
		return nil, err
	}
	// Not by its path: the next build may lie there before this run is over.
	t.options = trial.Options{Program: "/proc/self/exe", Duration: o.duration, Mailpact: []string{binary, "serve"}}
	if o.profile != "" {
		profiles, err := filepath.Abs(o.profile)
		if err != nil {
			return nil, fmt.Errorf("making the folder for profiles: %w", err)
		}
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			return nil, fmt.Errorf("making the folder for profiles: %w", err)
		}
		t.options.Mailpact = []string{program, "serve", "--profile", profiles}
	}
	// Below the system's own folder: Postfix's daemons run as their own user
	// and must get through every folder above.
	directory, err := os.MkdirTemp("", "mailpact-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	t.undo = append(t.undo, func() error { return os.RemoveAll(directory) })
	if err := os.Chmod(directory, 0o755); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	if t.options.Stage, err = stage.Open(directory); err != nil {
		return nil, err
	}
	t.undo = append(t.undo, t.options.Stage.Close)
	t.options.Queues = filepath.Join(directory, "queues")
	return t, t.mount(o.imageMB, errOut)
}

// lock waits until no other bench runs on this machine: two of them would
// measure each other.
func (t *theatre) lock(errOut io.Writer) error {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "mailpact-bench.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return fmt.Errorf("locking the machine: %w", err)
	}
	t.undo = append(t.undo, f.Close)
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return nil
	}
	fmt.Fprintln(errOut, "bench: waiting for another bench on this machine")
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking the machine: %w", err)
	}
	return nil
}

// mount puts a journaled file system under the queues where that is possible.
func (t *theatre) mount(megabytes int, errOut io.Writer) error {
	const script = "bench/journaled-fs.sh"
	dir := t.options.Queues
	out, err := exec.Command(script, "up", dir, strconv.Itoa(megabytes)).CombinedOutput()
	if err == nil {
		t.queues = "a journaled ext4 image"
		t.undo = append(t.undo, func() error {
			if out, err := exec.Command(script, "down", dir).CombinedOutput(); err != nil {
				return fmt.Errorf("taking the image down: %w\n%s", err, out)
			}
			return nil
		})
		return nil
	}
	fmt.Fprintf(errOut, "bench: no journaled image (%v: %s); the queues lie on the file system of %s\n", err, out, dir)
	t.queues = "the machine's own file system"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a folder for queues: %w", err)
	}
	return os.RemoveAll(dir + ".img")
}

func write(directory string, r record) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	file := filepath.Join(directory, r.Date.Format("2006-01-02T150405Z")+".json")
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return string(b[:max(0, len(b)-1)])
}
