package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
)

// migrations returns the steps from each schema version to the next: step n
// leads from version n to n+1. A step that was ever released is never changed;
// there is no way back.
func migrations() []string {
	return []string{
		// 1: messages with their deliveries and content.
		`CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('message', 1);
CREATE TABLE messages (id INTEGER PRIMARY KEY, node INTEGER NOT NULL, received INTEGER NOT NULL, size INTEGER NOT NULL, envelope BLOB NOT NULL);
CREATE TABLE deliveries (id INTEGER PRIMARY KEY, due INTEGER NOT NULL, queue BLOB NOT NULL, state BLOB NOT NULL);
CREATE TABLE content (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE staged (id INTEGER PRIMARY KEY);`,
		// 2: queues that an administrator has suspended.
		`CREATE TABLE suspended (queue BLOB PRIMARY KEY) WITHOUT ROWID;`,
	}
}

// migrate brings the schema to the newest version, one transaction per step.
func migrate(ctx context.Context, c conn) error {
	return migrateTo(ctx, c, len(migrations()))
}

func migrateTo(ctx context.Context, c conn, version int) error {
	at, err := c.integer(ctx, "PRAGMA user_version")
	if err != nil {
		return fmt.Errorf("reading schema version: %w", err)
	}
	steps := migrations()
	if at > int64(len(steps)) {
		return fmt.Errorf("the queue has schema version %d, this program knows versions up to %d: use the newer program", at, len(steps))
	}
	for v := int(at); v < version; v++ {
		script := "BEGIN IMMEDIATE;" + steps[v] + ";PRAGMA user_version=" + strconv.Itoa(v+1) + ";COMMIT"
		if err := c.exec(ctx, script); err != nil {
			_ = c.exec(ctx, "ROLLBACK")
			return fmt.Errorf("migrating schema to version %d: %w", v+1, err)
		}
	}
	return nil
}

// nodeID returns the number of the node called name, which it gives one if it has none.
func nodeID(ctx context.Context, c conn, name string) (int64, error) {
	args := []driver.NamedValue{{Ordinal: 1, Value: name}}
	if err := c.exec(ctx, "INSERT INTO nodes (name) VALUES (?) ON CONFLICT DO NOTHING", args...); err != nil {
		return 0, fmt.Errorf("registering node: %w", err)
	}
	return c.integer(ctx, "SELECT id FROM nodes WHERE name=?", args...)
}
