//go:build crash

package crash

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/tests/testkit"
)

// steps are those of a session in which a next hop takes a message, as it sees
// them: before its answer, and after the last one.
var steps = []string{"connect", "EHLO", "MAIL", "RCPT", "DATA", "content", "dot", "answered"}

// watchedHop is a next hop that takes messages and calls at before it answers each step.
type watchedHop struct {
	addr string

	mu  sync.Mutex
	at  func(step string)
	got []string // ids of messages
}

func startWatchedHop(t *testing.T) *watchedHop {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &watchedHop{addr: l.Addr().String(), at: func(string) {}}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				h.serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	return h
}

func (h *watchedHop) step(name string) {
	h.mu.Lock()
	at := h.at
	h.mu.Unlock()
	at(name)
}

func (h *watchedHop) serve(c net.Conn) {
	answer := func(step, text string) {
		h.step(step)
		fmt.Fprintf(c, "%s\r\n", text)
	}
	answer("connect", "220 hop.test ESMTP")
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line[:4]); verb {
		case "DATA":
			answer(verb, "354 go on")
			if !h.content(r) {
				return
			}
			answer("dot", "250 2.0.0 kept")
			h.step("answered")
			return // so that each message has a session of its own
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			answer(verb, "250 yes")
		}
	}
}

// content reads a message and keeps it.
func (h *watchedHop) content(r *bufio.Reader) bool {
	var b strings.Builder
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if first {
			h.step("content")
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(line)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, messageID([]byte(b.String())))
	return true
}

func (h *watchedHop) times(id string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, got := range h.got {
		if got == id {
			n++
		}
	}
	return n
}

// killAt makes the hop kill the gateway at a step, once, and returns a channel that
// is closed then.
func (h *watchedHop) killAt(g *testkit.Gateway, step string) chan struct{} {
	killed := make(chan struct{})
	var once sync.Once
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = func(now string) {
		if now == step {
			once.Do(func() {
				g.Kill()
				close(killed)
			})
		}
	}
	return killed
}

func startBefore(t *testing.T, hop string) (*testkit.Gateway, string) {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(testkit.FreePort(t, "127.0.0.1")))
	return testkit.StartGateway(t, t.TempDir(), fmt.Sprintf(`
server: {fqdn: mail1.contoso.com, dataDirectory: data, http: ""}
trust: {systemRoots: false}
acceptedDomains: [{name: contoso.com, type: Authoritative, handOff: "smtp://%s"}]
receiveConnectors:
  - {name: Inet, bindings: ["%s"], fqdn: mail1.contoso.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers], messageRateLimit: unlimited}
sendConnectors: []
queue: {glitchRetryInterval: 1s, glitchRetryCount: 1000}
`, hop, addr)), addr
}

// dial opens a session with the gateway.
func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(c)
	if reply(r) != "220" || say(c, r, "EHLO load.test") != "250" {
		t.Fatal("the gateway does not begin a session")
	}
	return c, r
}

// queued is the number of messages that the gateway holds.
func queued(g *testkit.Gateway) int {
	var list struct {
		Messages []struct{} `json:"messages"`
	}
	g.Run(&list, "message", "list")
	return len(list.Messages)
}

// TestKillAtEachStepOfADelivery: whatever the next hop has seen, the message is
// delivered after the restart, and twice only if its final dot was on its way.
func TestKillAtEachStepOfADelivery(t *testing.T) {
	hop := startWatchedHop(t)
	g, addr := startBefore(t, hop.addr)
	for i, step := range steps {
		t.Run(step, func(t *testing.T) {
			killed := hop.killAt(g, step)
			id := fmt.Sprintf("step.%d", i)
			c, r := dial(t, addr)
			if !sendOne(c, r, id) {
				t.Fatal("the gateway does not take the message")
			}
			select {
			case <-killed:
			case <-time.After(20 * time.Second):
				t.Fatal("the step was never reached")
			}
			g.Start()
			testkit.Eventually(t, 20*time.Second, "the message is delivered and gone", func() bool { return hop.times(id) > 0 && queued(g) == 0 })
			least, most := 1, 1
			switch step {
			case "dot":
				least, most = 2, 2
			case "content", "answered": // the final dot may have been on its way, or the outcome in the store
				most = 2
			}
			if n := hop.times(id); n < least || n > most {
				t.Errorf("the message came %d times, want %d to %d", n, least, most)
			}
		})
	}
}

// TestKillAtEachStepOfAnArrival: a message of which the client has not read 250
// is not there or is there whole, and one that it has is.
func TestKillAtEachStepOfAnArrival(t *testing.T) {
	hop := startWatchedHop(t)
	g, addr := startBefore(t, hop.addr)
	for i, tt := range []struct {
		name  string
		lines []string // said before the kill; what begins with ! waits for no reply
		most  int
	}{
		{"MAIL", []string{"MAIL FROM:<load@load.test>"}, 0},
		{"RCPT", []string{"MAIL FROM:<load@load.test>", "RCPT TO:<box@contoso.com>"}, 0},
		{"DATA", []string{"MAIL FROM:<load@load.test>", "RCPT TO:<box@contoso.com>", "DATA"}, 0},
		{"content", []string{"MAIL FROM:<load@load.test>", "RCPT TO:<box@contoso.com>", "DATA", "!Message-ID: <%s@load.test>"}, 0},
		{"dot", []string{"MAIL FROM:<load@load.test>", "RCPT TO:<box@contoso.com>", "DATA", "!Message-ID: <%s@load.test>", "!.", "!"}, 1},
		{"250", []string{"MAIL FROM:<load@load.test>", "RCPT TO:<box@contoso.com>", "DATA", "!Message-ID: <%s@load.test>", "."}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := fmt.Sprintf("arrival.%d", i)
			hold := make(chan struct{}) // nothing is delivered before the kill
			hop.mu.Lock()
			hop.at = func(string) { <-hold }
			hop.mu.Unlock()
			c, r := dial(t, addr)
			for _, line := range tt.lines {
				if text, silent := strings.CutPrefix(line, "!"); silent {
					if text != "" {
						fmt.Fprint(c, strings.Replace(text, "%s", id, 1)+"\r\n")
					}
				} else if code := say(c, r, line); code != "250" && code != "354" {
					t.Fatalf("%s: %q", line, code)
				}
			}
			g.Kill()
			close(hold)
			g.Start()
			least := 0
			if tt.name == "250" {
				least = 1
			}
			testkit.Eventually(t, 20*time.Second, "the queue is empty", func() bool { return queued(g) == 0 })
			if n := hop.times(id); n < least || n > tt.most {
				t.Errorf("the message came %d times, want %d to %d", n, least, tt.most)
			}
		})
	}
}

// TestDeadlyMessageIsSetAside: a message at which the process dies each time is
// in the queue Poison after the third, others are delivered, and nothing is lost.
func TestDeadlyMessageIsSetAside(t *testing.T) {
	hop := startWatchedHop(t)
	g, addr := startBefore(t, hop.addr)
	killed := hop.killAt(g, "RCPT")
	c, r := dial(t, addr)
	if !sendOne(c, r, "deadly") {
		t.Fatal("the gateway does not take the message")
	}
	for range 3 {
		select {
		case <-killed:
		case <-time.After(20 * time.Second):
			t.Fatal("it is not tried again")
		}
		killed = hop.killAt(g, "RCPT")
		g.Start()
	}
	var row struct {
		Status       string `json:"status"`
		MessageCount int    `json:"messageCount"`
	}
	testkit.Eventually(t, 20*time.Second, "the message is set aside", func() bool {
		return g.Run(nil, "queue", "show", "Poison") == 0 && g.Run(&row, "queue", "show", "Poison") == 0 && row.MessageCount == 1
	})
	if row.Status != "Suspended" {
		t.Errorf("the queue is %s", row.Status)
	}
	hop.mu.Lock()
	hop.at = func(string) {}
	hop.mu.Unlock()
	c, r = dial(t, addr)
	if !sendOne(c, r, "harmless") {
		t.Fatal("the gateway takes no other message")
	}
	testkit.Eventually(t, 20*time.Second, "the other message is delivered", func() bool { return hop.times("harmless") == 1 })
	if hop.times("deadly") != 0 {
		t.Error("the message was delivered after all")
	}
	if code := g.Run(nil, "queue", "resume", "Poison"); code != 0 {
		t.Errorf("resuming it ended with %d", code)
	}
	testkit.Eventually(t, 20*time.Second, "the message is delivered once it is resumed", func() bool { return hop.times("deadly") == 1 && queued(g) == 0 })
}
