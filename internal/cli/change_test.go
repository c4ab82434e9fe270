package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

// TestChangePages: pages are asked for until the last, whoever watches sees how
// far it is, and the sum is said in words or in JSON.
func TestChangePages(t *testing.T) {
	pages := []admin.MessageChangeResponse{
		{Messages: 400, Pending: 1, Seen: 500, Last: 500, More: true},
		{Messages: 500, Seen: 500, Last: 1000, More: true},
		{Messages: 1, Failed: 2, Seen: 7, Last: 1007},
	}
	for _, tt := range []struct {
		name  string
		o     changeOptions
		json  bool
		fault error // at the third page
		out   string
		err   string // "": the command fails silently
	}{
		{
			"words",
			changeOptions{queue: "b.example", removes: true, ndr: true},
			false, nil,
			"901 messages removed.\n1 message being delivered, removed afterwards unless that succeeds.\n" +
				"2 messages left: no report could be made for the sender (see the server's log, or use --ndr=false).\n", "",
		},
		{
			"dry run",
			changeOptions{queue: "b.example", dryRun: true},
			false, nil,
			"901 messages to be removed.\n1 message being delivered, to be removed afterwards unless that succeeds.\n" +
				"2 messages left: no report could be made for the sender (see the server's log, or use --ndr=false).\n", "",
		},
		{
			"JSON",
			changeOptions{queue: "b.example"},
			true, nil,
			"{\n  \"messages\": 901,\n  \"pending\": 1,\n  \"failed\": 2,\n  \"seen\": 1007,\n  \"last\": 0,\n  \"more\": false\n}\n", "",
		},
		{
			"fault",
			changeOptions{queue: "b.example"},
			false, &admin.Error{Kind: admin.KindInternal, Detail: "broken"},
			"900 messages removed.\n1 message being delivered, removed afterwards unless that succeeds.\n", "broken",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []admin.MessageChangeRequest
			x := change{done: "removed", call: func(_ context.Context, _ *admin.Client, r admin.MessageChangeRequest) (admin.MessageChangeResponse, error) {
				asked = append(asked, r)
				if len(asked) == 3 && tt.fault != nil {
					return admin.MessageChangeResponse{}, tt.fault
				}
				return pages[len(asked)-1], nil
			}}
			var out, errOut bytes.Buffer
			c := &cobra.Command{}
			c.SetContext(t.Context())
			c.SetOut(&out)
			c.SetErr(&errOut)
			err := tt.o.run(c, &globals{json: tt.json}, x, nil)
			var silent *silentError
			if errors.As(err, &silent) != (tt.err == "") || err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.out, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if errOut.Len() > 0 {
				t.Errorf("what is no terminal was shown %q", errOut.String())
			}
			var want []admin.MessageChangeRequest
			for _, after := range []int64{0, 500, 1000} {
				r := admin.MessageChangeRequest{Queue: "b.example", DryRun: tt.o.dryRun, After: after}
				if tt.o.removes {
					r.NDR = &tt.o.ndr
				}
				want = append(want, r)
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChangeOfSeveral: what does not exist does not keep the others from being
// changed; a server that does not answer does.
func TestChangeOfSeveral(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault error
		asked []int64
		out   string
	}{
		{"missing", &admin.Error{Kind: admin.KindNotFound, Detail: "message 2"}, []int64{1, 2, 3}, "2 messages suspended.\n"},
		{"no server", &admin.UnreachableError{Socket: "s", Err: errors.New("gone")}, []int64{1, 2}, "1 message suspended.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []int64
			x := change{done: "suspended", call: func(_ context.Context, _ *admin.Client, r admin.MessageChangeRequest) (admin.MessageChangeResponse, error) {
				asked = append(asked, r.ID)
				if r.ID == 2 {
					return admin.MessageChangeResponse{}, tt.fault
				}
				return admin.MessageChangeResponse{Messages: 1, Seen: 1}, nil
			}}
			var out bytes.Buffer
			c := &cobra.Command{}
			c.SetContext(t.Context())
			c.SetOut(&out)
			o := changeOptions{}
			if err := o.run(c, &globals{}, x, []int64{1, 2, 3}); !errors.Is(err, tt.fault) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if out.String() != tt.out {
				t.Errorf("output %q", out.String())
			}
		})
	}
}

// TestInterruptedChange says so instead of blaming the server.
func TestInterruptedChange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	x := change{done: "removed", call: func(context.Context, *admin.Client, admin.MessageChangeRequest) (admin.MessageChangeResponse, error) {
		cancel()
		return admin.MessageChangeResponse{}, &admin.UnreachableError{Err: ctx.Err()}
	}}
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetContext(ctx)
	c.SetOut(&out)
	o := changeOptions{from: "a@a.example"}
	err := o.run(c, &globals{}, x, nil)
	if err == nil || exitCode(err) != ExitNo || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v", err)
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.show("nobody watches")
	p.end()
	if b.Len() > 0 {
		t.Errorf("what is no terminal was shown %q", b.String())
	}
	p = &progress{w: &b}
	p.end()
	p.show("one")
	p.show("two")
	p.end()
	if want := "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"; b.String() != want {
		t.Errorf("a terminal was shown %q, want %q", b.String(), want)
	}
}
