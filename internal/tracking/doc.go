// Package tracking writes the message tracking log: one row for each thing
// that happened to a message, in the files MSGTRKyyyymmdd-n.log, by the date in
// UTC, with n from 1. Package logfile says how they rotate and what happens on
// a full disk.
//
// The fields are those of 2007; lists in a value are separated by ";". A row
// never says more of a message's content than its subject, and that can be
// turned off.
package tracking
