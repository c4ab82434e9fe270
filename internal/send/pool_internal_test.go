package send

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/smtp"
)

// idleSession makes a session on a pipe whose far side reads and never answers.
func idleSession(t *testing.T, key poolKey) (*session, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	return &session{key: key, client: smtp.NewClient(ours, smtp.ClientOptions{LocalName: "a.example"}), opened: time.Now()}, theirs
}

func TestPool(t *testing.T) {
	a, b := poolKey{tlsDomain: "a.example"}, poolKey{tlsDomain: "b.example"}
	t.Run("another key's session is never taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(time.Second)
			c, _ := idleSession(t, a)
			p.put(c, time.Minute)
			if p.take(b) != nil || p.take(a) != c || p.take(a) != nil {
				t.Error("the pool mixes keys")
			}
			p.stop(t.Context())
		})
	})
	t.Run("ends after its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(time.Second)
			old, far := idleSession(t, a)
			p.put(old, 10*time.Second)
			time.Sleep(5 * time.Second)
			young, _ := idleSession(t, a)
			p.put(young, 10*time.Second)
			said := make(chan string, 1)
			go func() {
				b := make([]byte, 64)
				n, _ := far.Read(b)
				said <- string(b[:n])
			}()
			time.Sleep(6 * time.Second)
			if got := <-said; !strings.HasPrefix(got, "QUIT") {
				t.Errorf("the session ended with %q", got)
			}
			if p.take(a) != young || p.take(a) != nil {
				t.Error("the pool kept the old session or lost the young one")
			}
			p.stop(t.Context())
		})
	})
	t.Run("is not taken after its time, swept or not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(time.Second)
			c, _ := idleSession(t, a)
			p.put(c, 100*time.Millisecond)
			time.Sleep(200 * time.Millisecond)
			if p.take(a) != nil {
				t.Error("a session was taken after its time")
			}
			p.stop(t.Context())
		})
	})
	t.Run("is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(time.Millisecond)
			for range maxIdlePerKey + 3 {
				c, _ := idleSession(t, a)
				p.put(c, time.Minute)
			}
			if n := len(p.idle[a]); n != maxIdlePerKey || p.count != n {
				t.Errorf("%d idle, counted %d", n, p.count)
			}
			p.drop(a)
			if p.count != 0 || p.take(a) != nil {
				t.Error("drop leaves sessions behind")
			}
			p.stop(t.Context())
		})
	})
	t.Run("an old session is not kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(time.Millisecond)
			c, _ := idleSession(t, a)
			time.Sleep(maxSessionAge + time.Second)
			p.put(c, time.Minute)
			if p.take(a) != nil {
				t.Error("a session was kept beyond its age")
			}
			p.stop(t.Context())
		})
	})
}
