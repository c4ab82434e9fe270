package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"mailpact/bench/account"
)

// child is a process of this program in another role. It reads JSON from its
// standard input, writes JSON to its standard output, and ends when its input does.
type child struct {
	role  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	say   *json.Encoder
	hear  *json.Decoder
	ended bool
}

// startChild starts a role and gives it its options.
func startChild(program, role string, options any) (*child, error) {
	c := &child{role: role, cmd: exec.Command(program, role)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	c.in, c.say, c.hear = in, json.NewEncoder(in), json.NewDecoder(out)
	if err := c.say.Encode(options); err != nil {
		return nil, errors.Join(fmt.Errorf("instructing the %s: %w", role, err), c.end())
	}
	return c, nil
}

// receive reads the child's next word.
func (c *child) receive(v any) error {
	if err := c.hear.Decode(v); err != nil {
		return fmt.Errorf("listening to the %s: %w", c.role, err)
	}
	return nil
}

// end closes the child's input and waits for it. A second call does nothing.
func (c *child) end() error {
	if c.ended {
		return nil
	}
	c.ended = true
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("running the %s: %w", c.role, err)
	}
	return nil
}

// usage returns what the child has cost, after its end.
func (c *child) usage() account.Usage {
	s := c.cmd.ProcessState
	return account.Usage{User: s.UserTime(), System: s.SystemTime()}
}
