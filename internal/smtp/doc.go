// Package smtp is the wire: it speaks SMTP as server and as client and reads
// and writes the addresses, commands, replies and mail data of it. It decides
// nothing about mail: a server's decisions stand behind Session, a client's in
// its caller.
//
// # Server
//
// ServeSession runs one connection. It enforces order, syntax, limits and line
// ends, and calls a Session for everything else. Its invariants:
//
//   - Only CRLF ends a command line and only CRLF.CRLF ends mail data of DATA.
//   - A BDAT chunk ends where its size says. It is read or dropped whole, whatever
//     becomes of the message, and no octet of it is taken for a command; where the
//     size cannot be read the session ends.
//   - Nothing that arrived before a TLS handshake is used after it, and a
//     session whose handshake failed says nothing more.
//   - 250 answers mail data only if the Session read the body to io.EOF, which
//     the reader returns only at CRLF.CRLF, or behind the last chunk, within all
//     limits.
//   - What a client sends to prove who it is goes to its Exchange and nowhere
//     else, and is cleared afterwards; a TLS handshake makes it a stranger again.
//   - Replies leave when the session next waits for input, so that a pipelined
//     group is answered in one write.
//   - Only the text of a Reply crosses the wire, printable and cut; any other
//     error is 451 4.3.0 with the session's id.
//   - Memory per session is bounded and does not grow with the message.
//
// # Client
//
// Client is one session: Greeting, Hello, StartTLS, Hello, Send, Quit. It never
// goes back to the clear, never sends a final dot or a last chunk for content
// that it could not read to its end, and never sends a bare CR or LF except in a
// BINARYMIME message to a server that offers it.
//
// # Addresses
//
// ParseDomain brings a domain into the one form in which domains are compared.
// ParseMailbox, ParseReversePath and ParseForwardPath are the only way from
// text to an address.
//
// # RFCs
//
// RFC 5321 (SMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 3030
// (CHUNKING and BINARYMIME), 3461 (DSN), 6531 (SMTPUTF8), 2033 (LMTP, client), 2034
// (ENHANCEDSTATUSCODES) with 3463, 3207 (STARTTLS), 4954 (AUTH), 5890 to 5893 and UTS 46 for
// domains. Deliberate deviations:
//
//   - A bare CR or LF in a command ends the session, and one in mail data
//     refuses the message (RFC 5321, section 2.3.8 forbids sending them and does
//     not say what a receiver does), unless the session is told to normalise.
//   - Spaces after "MAIL FROM:" and "RCPT TO:" are tolerated.
//   - Lines of mail data may be longer than 1000 octets (section 4.5.3.1.6 is
//     what a sender may rely on, and much mail does not keep it).
//   - A client that may pipeline does not wait for the replies to MAIL and RCPT
//     before it sends BDAT with a message of one chunk (RFC 3030, section 2 wants
//     it to). A server drops the chunk of a transaction that it has refused, as
//     it must anyway.
//   - A failed BDAT ends the transaction: MAIL may follow without RSET.
//   - Chunks below 512 octets are counted among the commands that bring no
//     message forward, of which a session may say 250 in a row.
//   - A response in AUTH may be as long as a command (RFC 4954, section 4 speaks of
//     12288 octets): the mechanisms offered need no more. AUTH= in MAIL is read and
//     believed of nobody.
//   - VRFY is answered by the Session, usually 252; EXPN is not implemented.
//   - A client sends 8-bit mail to a server without 8BITMIME as it is.
//   - EHLO takes any printable word as the client's name.
package smtp
