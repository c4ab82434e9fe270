package smtp

import (
	"testing"
)

// A message costs a handful of allocations, its addresses among them, and none
// for a line of it.
func TestAllocationsPerMessage(t *testing.T) {
	const messages = 500
	one := "MAIL FROM:<sender@one.example> SIZE=10240\r\nRCPT TO:<first@two.example>\r\nRCPT TO:<second@two.example>\r\nDATA\r\n" +
		body10K() + ".\r\n"
	n := testing.AllocsPerRun(3, func() {
		conn := &repeatConn{greet: "EHLO client.example\r\n", one: one, left: messages}
		ServeSession(t.Context(), conn, nullSession{}, ServerOptions{})
	})
	if per := n / messages; per > 5 {
		t.Errorf("%.1f allocations a message", per)
	}
}
