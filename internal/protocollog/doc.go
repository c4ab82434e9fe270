// Package protocollog writes the SMTP conversations of connectors whose
// ProtocolLoggingLevel is Verbose: one row for each line that was sent or
// received, for what was decided in between, and for the certificates of a TLS
// handshake.
//
// The files are RECVyyyymmdd-n.log and SENDyyyymmdd-n.log, by the date in UTC,
// with n from 1; package logfile says how they rotate and what happens on a
// full disk. Each begins with five lines (#Software, #Version, #Log-type,
// #Date, #Fields) and goes on in comma-separated rows of nine values:
//
//	date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context
//
// The events are "+" connect, "-" disconnect, ">" sent, "<" received and "*"
// information. A reply of several lines is as many rows. The rows of a
// certificate have the value as data and its label as context.
//
// Never in a row: the content of a message, and what a client sends to prove
// who it is. Whoever calls must leave the latter out; the package masks it again.
package protocollog
