//go:build !linux

package sqlite

// syncData leaves syncing to SQLite.
func syncData() {}
