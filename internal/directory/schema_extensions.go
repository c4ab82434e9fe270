package directory

import "mailpact/internal/smtp"

// receiveConnectorExtensions are the switches of what a connector offers to
// clients in answer to EHLO. They exist for peers that get an extension wrong.
func receiveConnectorExtensions() []field[ReceiveConnector] {
	return []field[ReceiveConnector]{
		{
			key: "sizeEnabled", doc: "Whether SIZE is offered: Enabled, EnabledWithoutValue (which keeps maxMessageSize to ourselves) or Disabled.", def: "Enabled",
			read: readSizeEnabled,
		},
		offer("pipeliningEnabled", "Whether PIPELINING is offered.", smtp.KeywordPIPELINING),
		offer("deliveryStatusNotificationEnabled", "Whether DSN is offered, so that senders can say when they want reports.", smtp.KeywordDSN),
		offer("enhancedStatusCodesEnabled", "Whether ENHANCEDSTATUSCODES is offered and replies carry such codes.", smtp.KeywordENHANCEDSTATUSCODES),
		offer("eightBitMimeEnabled", "Whether 8BITMIME is offered. SMTPUTF8 needs it.", smtp.Keyword8BITMIME),
		offer("binaryMimeEnabled", "Whether BINARYMIME is offered. It needs chunkingEnabled; such mail leaves only to hosts that offer it, too.", smtp.KeywordBINARYMIME),
		offer("chunkingEnabled", "Whether CHUNKING is offered, by which clients send mail in chunks.", smtp.KeywordCHUNKING),
		offer("smtpUtf8Enabled", "Whether SMTPUTF8 is offered. Such mail leaves only to hosts that offer it, too.", smtp.KeywordSMTPUTF8),
	}
}

// offer is the switch of one keyword, which is on by default.
func offer(key, doc string, k smtp.KeywordSet) field[ReceiveConnector] {
	return field[ReceiveConnector]{key: key, doc: doc, def: "true", read: func(d *decoder, v value, r *ReceiveConnector) {
		if on, ok := readBool(d, v); ok {
			r.offer(k, on)
		}
	}}
}

func (c *ReceiveConnector) offer(k smtp.KeywordSet, on bool) {
	c.Withheld &^= k
	if !on {
		c.Withheld |= k
	}
}

func readSizeEnabled(d *decoder, v value, c *ReceiveConnector) {
	word, ok := choice([]string{"Enabled", "EnabledWithoutValue", "Disabled"})(d, v)
	if ok {
		c.offer(smtp.KeywordSIZE, word != "Disabled")
		c.SizeWithoutValue = word == "EnabledWithoutValue"
	}
}
