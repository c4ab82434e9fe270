// Package admin is the list of management operations and the ways to call
// them. Every face (command line, later shell, console and HTTP API) calls an
// operation of this list; none has a rule of its own.
//
// An operation takes a request struct and returns a response struct, both plain
// JSON in lowerCamelCase. Service runs operations in the server's process;
// Handler serves them over HTTP (POST /v1/<name>), which the server offers on a
// Unix socket to processes of root and of its own user; Client calls them from
// another process with the same types.
//
// Errors are *Error values with a kind, the object they concern and, where
// there is one, the command that mends the matter. On the wire they are
// application/problem+json (RFC 9457).
package admin
