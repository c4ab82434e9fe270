package smtp

import (
	"fmt"
	"testing"
)

// A message costs a handful of allocations, its addresses among them, and none
// for a line of it.
func TestAllocationsPerMessage(t *testing.T) {
	const messages = 500
	envelope := "MAIL FROM:<sender@one.example> SIZE=10240\r\nRCPT TO:<first@two.example>\r\nRCPT TO:<second@two.example>\r\n"
	body := body10K()
	for way, data := range map[string]string{
		"DATA":             "DATA\r\n" + body + ".\r\n",
		"BDAT":             fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body),
		"BDAT in 4 chunks": fmt.Sprintf("BDAT 1000\r\n%sBDAT 2000\r\n%sBDAT 3000\r\n%sBDAT %d LAST\r\n%s", body[:1000], body[1000:3000], body[3000:6000], len(body)-6000, body[6000:]),
	} {
		n := testing.AllocsPerRun(3, func() {
			conn := &repeatConn{greet: "EHLO client.example\r\n", one: envelope + data, left: messages}
			ServeSession(t.Context(), conn, nullSession{}, ServerOptions{})
		})
		// A message has over a hundred lines; under the race detector pools
		// lose some of what is put back.
		if per := n / messages; per > 12 {
			t.Errorf("%s: %.1f allocations a message", way, per)
		}
	}
}
