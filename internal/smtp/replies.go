package smtp

// The replies that the loop itself gives. They are values that nobody changes;
// one test walks them all. Replies of a Session are the Session's own.
var (
	replyGreeting      = NewReply(220, EnhancedCode{}, "SMTP service ready")
	replyReset         = NewReply(250, EnhancedCode{2, 0, 0}, "Resetting")
	replyNoop          = NewReply(250, EnhancedCode{2, 0, 0}, "OK")
	replyVerify        = NewReply(252, EnhancedCode{2, 1, 5}, "Cannot VRFY user, but will accept message and attempt delivery")
	replyQuit          = NewReply(221, EnhancedCode{2, 0, 0}, "Service closing transmission channel").Closing()
	replyStartTLS      = NewReply(220, EnhancedCode{2, 0, 0}, "SMTP server ready")
	replyStartMail     = NewReply(354, EnhancedCode{}, "Start mail input; end with <CRLF>.<CRLF>")
	replyMailAccepted  = NewReply(250, EnhancedCode{2, 1, 0}, "Sender OK")
	replyRcptAccepted  = NewReply(250, EnhancedCode{2, 1, 5}, "Recipient OK")
	replyDataAccepted  = NewReply(250, EnhancedCode{2, 6, 0}, "Queued mail for delivery")
	replyShutdown      = NewReply(421, EnhancedCode{4, 3, 2}, "Service not available, closing transmission channel").Closing()
	replyTimeout       = NewReply(421, EnhancedCode{4, 4, 2}, "Timeout waiting for client input, closing transmission channel").Closing()
	replyTooManyErrors = NewReply(421, EnhancedCode{4, 7, 0}, "Too many errors on this connection, closing transmission channel").Closing()
	replyInternal      = NewReply(421, EnhancedCode{4, 3, 0}, "Local error, closing transmission channel").Closing()

	replyUnknownCommand   = NewReply(500, EnhancedCode{5, 5, 1}, "Unknown command")
	replyLineTooLong      = NewReply(500, EnhancedCode{5, 5, 2}, "Line too long")
	replyBareLine         = NewReply(500, EnhancedCode{5, 5, 2}, "A command ends with CRLF, closing transmission channel").Closing()
	replyControlCharacter = NewReply(500, EnhancedCode{5, 5, 2}, "Control character in a command")
	replyNotImplemented   = NewReply(502, EnhancedCode{5, 5, 1}, "Command not implemented")
	replyNoArgument       = NewReply(501, EnhancedCode{5, 5, 4}, "Command takes no argument")
	replyArgument         = NewReply(501, EnhancedCode{5, 5, 4}, "Command needs an argument")
	replyHelloName        = NewReply(501, EnhancedCode{5, 5, 4}, "Invalid domain name")
	replyHelloFirst       = NewReply(503, EnhancedCode{5, 5, 1}, "Send EHLO or HELO first")
	replyEHLOFirst        = NewReply(503, EnhancedCode{5, 5, 1}, "Send EHLO first")

	replyAlreadyTLS     = NewReply(503, EnhancedCode{5, 5, 1}, "TLS is already on")
	replyTLSUnavailable = NewReply(454, EnhancedCode{4, 7, 0}, "TLS not available")
	replyAfterStartTLS  = NewReply(501, EnhancedCode{5, 5, 4}, "Nothing may follow STARTTLS before the handshake, closing transmission channel").Closing()

	replyAuthenticated   = NewReply(235, EnhancedCode{2, 7, 0}, "Authentication successful")
	replyAuthNeedsTLS    = NewReply(538, EnhancedCode{5, 7, 11}, "AUTH needs TLS here: send STARTTLS first")
	replyAuthTwice       = NewReply(503, EnhancedCode{5, 5, 1}, "Already authenticated")
	replyAuthInMail      = NewReply(503, EnhancedCode{5, 5, 1}, "AUTH is not permitted during a mail transaction")
	replyAuthMechanism   = NewReply(504, EnhancedCode{5, 5, 4}, "Authentication mechanism is not known")
	replyAuthSyntax      = NewReply(501, EnhancedCode{5, 5, 2}, "Response is not base64")
	replyAuthCancelled   = NewReply(501, EnhancedCode{5, 7, 0}, "Authentication cancelled")
	replyAuthLineTooLong = NewReply(500, EnhancedCode{5, 5, 6}, "Authentication exchange line is too long")

	replyMailSyntax       = NewReply(501, EnhancedCode{5, 5, 4}, "Syntax: MAIL FROM:<address>")
	replyNestedMail       = NewReply(503, EnhancedCode{5, 5, 1}, "Sender already specified")
	replyMailFirst        = NewReply(503, EnhancedCode{5, 5, 1}, "Need MAIL first")
	replyRcptSyntax       = NewReply(501, EnhancedCode{5, 5, 4}, "Syntax: RCPT TO:<address>")
	replyTooManyRcpts     = NewReply(452, EnhancedCode{4, 5, 3}, "Too many recipients")
	replyUnknownParameter = NewReply(555, EnhancedCode{5, 5, 4}, "Unsupported parameter")
	replyParameterSyntax  = NewReply(501, EnhancedCode{5, 5, 4}, "Invalid parameter")
	replyParameterTwice   = NewReply(501, EnhancedCode{5, 5, 4}, "Parameter given twice")
	replySizeExceeded     = NewReply(552, EnhancedCode{5, 3, 4}, "Message size exceeds fixed maximum message size")

	replyChunkSyntax  = NewReply(501, EnhancedCode{5, 5, 4}, "Syntax: BDAT size [LAST], closing transmission channel").Closing()
	replyChunked      = NewReply(503, EnhancedCode{5, 5, 1}, "Only BDAT may follow BDAT in a transaction")
	replyBinaryData   = NewReply(503, EnhancedCode{5, 5, 1}, "BODY=BINARYMIME needs BDAT")
	replyRcptFirst    = NewReply(503, EnhancedCode{5, 5, 1}, "Need RCPT first")
	replyNoRecipients = NewReply(554, EnhancedCode{5, 5, 1}, "No valid recipients")
	replyBareBody     = NewReply(554, EnhancedCode{5, 6, 0}, "Message contains bare CR or LF")
	replyBodyLineLong = NewReply(554, EnhancedCode{5, 6, 0}, "Message contains a line that is too long")
	replyBodyTooLarge = NewReply(552, EnhancedCode{5, 3, 4}, "Message exceeds fixed maximum message size")
)

// localError is the answer to an error whose text is not for the peer; the
// session's id leads to the log line that has it.
func localError(sessionID string) Reply {
	return NewReply(451, EnhancedCode{4, 3, 0}, "Local error in processing ["+sessionID+"]")
}

// addressReply answers a refused address. subject is the detail digit for its
// syntax: 7 for a sender, 3 for a recipient (RFC 3463, section 3.2).
func addressReply(err *AddressError, subject uint16) Reply {
	switch err.Fault {
	case AddressDomainUnusable:
		return NewReply(553, EnhancedCode{5, 1, subject}, "Invalid address: "+err.Text)
	case AddressNotASCII:
		// RFC 6531, section 3.5, of a server without SMTPUTF8.
		return NewReply(553, EnhancedCode{5, 6, 7}, "Invalid address: "+err.Text)
	case AddressFaultUnknown, AddressSyntax, AddressTooLong:
	}
	return NewReply(501, EnhancedCode{5, 1, subject}, "Invalid address: "+err.Text)
}
