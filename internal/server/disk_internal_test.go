package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/store"
	"mailpact/internal/store/sqlite"
)

func TestDiskFindings(t *testing.T) {
	for _, tt := range []struct {
		name      string
		condition sqlite.Condition
		want      string // in the text; empty: no finding
	}{
		{"room", sqlite.Condition{Free: 200 << 20, Reserve: 192 << 20}, ""},
		{"as much as the reserve", sqlite.Condition{Free: 192 << 20, Reserve: 192 << 20}, ""},
		{"no room", sqlite.Condition{Free: 100 << 20, Reserve: 192 << 20}, "100 MB are free, 192 MB are kept"},
		{"a quota is spent", sqlite.Condition{Free: 500 << 20, Reserve: 192 << 20, Fault: fmt.Errorf("%w: quota", store.ErrFull)}, "no message is accepted"},
		{"the disk fails", sqlite.Condition{Free: 500 << 20, Reserve: 192 << 20, Fault: errors.New("disk I/O error")}, "could not be written: disk I/O error"},
		{"a checkpoint has failed", sqlite.Condition{Free: 100 << 20, Reserve: 192 << 20, Condemned: true, Fault: errors.New("disk I/O error")}, "no longer be relied on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := diskFindings(tt.condition, "/data")
			switch {
			case tt.want == "":
				if len(got) != 0 {
					t.Errorf("got %+v", got)
				}
			case len(got) != 1 || got[0].Level != directory.LevelError || !strings.Contains(got[0].Text, tt.want) || got[0].Fix == "":
				t.Errorf("got %+v", got)
			}
		})
	}
}
