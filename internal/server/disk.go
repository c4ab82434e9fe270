package server

import (
	"errors"
	"fmt"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/store"
	"mailpact/internal/store/sqlite"
)

// diskFindings is what an administrator should know of the disk that the queue
// in directory lies on.
func diskFindings(c sqlite.Condition, dataDirectory string) []admin.Finding {
	f := admin.Finding{Level: directory.LevelError, Object: "disk of " + dataDirectory}
	switch {
	case !c.Condemned && (c.Free < c.Reserve || errors.Is(c.Fault, store.ErrFull)):
		f.Text = fmt.Sprintf("%d MB are free, %d MB are kept for the outcomes of queued mail: no message is accepted (452 4.3.1)", c.Free>>20, c.Reserve>>20)
		f.Fix = "Make room on the disk, or give it more"
	case c.Condemned:
		f.Text = "the queue's file can no longer be relied on, and no message is accepted: " + c.Fault.Error()
		f.Fix = "Mend the disk (see the system's log), then start the server anew. Mail that was accepted before is safe in queue.db-wal: keep that file beside queue.db"
	case c.Fault != nil:
		f.Text = "the queue could not be written: " + c.Fault.Error()
		f.Fix = "Look for faults of the disk in the system's log. Mail that was accepted before is kept and tried again"
	default:
		return nil
	}
	return []admin.Finding{f}
}
