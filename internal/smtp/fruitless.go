package smtp

// maxFruitless is how many commands in a row may bring no message forward: NOOP
// and EHLO without end, senders and recipients that are refused. Each costs the
// server a reply and lines in its logs, and the client a few octets. It is more
// than one transaction with the usual number of recipients takes.
const maxFruitless = 250

// fruitlessCommand counts a command, QUIT apart, and reports that the session
// is over because there were too many. What did bring a message forward is
// taken back by whoever knows: an accepted recipient, an accepted message.
func (l *loop) fruitlessCommand(v verb) (over bool) {
	if v == verbQUIT {
		return false
	}
	l.fruitless++
	if l.fruitless <= maxFruitless {
		return false
	}
	l.reply(&replyTooManyErrors)
	l.lingering = true
	return true
}
