package lab

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailpact/internal/admin"
)

// sessionSeenBy returns the rows of the organisation's receive protocol log for the
// last session in which sender began a message, up to its acceptance. The log is
// written behind the session's back, so it is awaited for a moment.
func sessionSeenBy(ctx context.Context, o *organisation, sender string) []string {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		lines, complete := lastSession(o, sender)
		if complete {
			return lines
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return lines
		}
	}
}

func lastSession(o *organisation, sender string) (lines []string, complete bool) {
	files, _ := filepath.Glob(filepath.Join(o.data, "logs", "protocol", "receive", "RECV*.log"))
	if len(files) == 0 {
		return nil, false
	}
	f, err := os.Open(files[len(files)-1])
	if err != nil {
		return nil, false
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment, r.FieldsPerRecord, r.LazyQuotes = '#', -1, true
	sessions := map[string][]string{}
	wanted := ""
	for {
		row, err := r.Read()
		if err != nil {
			break
		}
		if len(row) < 9 {
			continue
		}
		id, event, data, label := row[2], row[6], row[7], row[8]
		text := data
		switch {
		case data == "":
			text = label
		case label != "":
			text = label + ": " + data
		}
		sessions[id] = append(sessions[id], speaker(event)+text)
		if event == "<" && strings.Contains(data, "<"+sender+">") {
			wanted = id
		}
	}
	for _, l := range sessions[wanted] {
		lines = append(lines, l)
		if strings.Contains(l, "Queued mail for delivery") {
			return lines, true
		}
	}
	return lines, false
}

// speaker turns an event sign of a receive protocol log into who speaks.
func speaker(event string) string {
	switch event {
	case "<":
		return fromClient
	case ">":
		return fromServer
	default:
		return information
	}
}

// explainWaiting says why a message has not arrived: the queue's last error, if there is one.
func explainWaiting(o *organisation, err error) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, callErr := admin.Call[admin.QueueListResponse](ctx, o.client(), "queue.list", nil)
	if callErr != nil {
		return err.Error() + "; " + callErr.Error()
	}
	for _, q := range r.Queues {
		if q.LastError != "" {
			return err.Error() + "; last error of queue " + q.NextHopDomain + ": " + q.LastError
		}
	}
	return err.Error()
}
