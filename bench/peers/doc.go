// Package peers runs the servers that the bench compares, each with a fresh
// queue and the configuration that a fair comparison asks for: the same
// certificates, mutual TLS on both sides, durable before the reply, no limit
// that a load from one address would meet.
package peers
