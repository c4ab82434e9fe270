// Package account says what a server under test costs: CPU and memory of all
// its processes together, and what else the machine did meanwhile.
//
// Where cgroup v1 controllers are mounted and may be used, the kernel's own
// accounts are read; they lose no short-lived process. Elsewhere the figures
// are sums over /proc of a process and everything below it.
package account
