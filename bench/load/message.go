package load

import (
	"fmt"
	"strings"
)

// numberDigits is the width of a sequence number on the wire.
const numberDigits = 10

// minMessageBytes is room for the header and a little text.
const minMessageBytes = 1 << 10

// message is a message with its final dot, whose number can be set in place.
type message struct {
	octets []byte
	places []int // where the number stands
}

// newMessage makes a message of size octets, the final dot not counted.
func newMessage(from, to string, size int) *message {
	zeros := strings.Repeat("0", numberDigits)
	domain := from[strings.LastIndexByte(from, '@')+1:]
	m := &message{octets: make([]byte, 0, size+100)}
	place := func() {
		m.places = append(m.places, len(m.octets))
		m.octets = append(m.octets, zeros...)
	}
	m.octets = fmt.Appendf(m.octets, "From: <%s>\r\nTo: <%s>\r\nSubject: load\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <", from, to)
	place()
	m.octets = fmt.Appendf(m.octets, ".load@%s>\r\nX-Bench-Seq: ", domain)
	place()
	m.octets = append(m.octets, "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"...)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	random := uint32(2463534242) // xorshift: text that does not compress
	for len(m.octets) < size {
		for range max(0, min(76, size-2-len(m.octets))) {
			random ^= random << 13
			random ^= random >> 17
			random ^= random << 5
			m.octets = append(m.octets, alphabet[random&63])
		}
		m.octets = append(m.octets, "\r\n"...)
	}
	m.octets = append(m.octets, ".\r\n"...)
	return m
}

// setNumber writes n into its places.
func (m *message) setNumber(n int64) {
	for _, at := range m.places {
		rest := n
		for i := numberDigits - 1; i >= 0; i-- {
			m.octets[at+i] = byte('0' + rest%10)
			rest /= 10
		}
	}
}
