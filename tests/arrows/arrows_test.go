// Package arrows holds the house to its plan: which room may import which.
//
// The table below is ARCHITECTURE.md's in the form that a test can read. A room
// that is not in it fails the test, and so does an arrow that is not drawn.
package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Groups of rooms that stand in the table as one word.
var (
	trustRooms     = []string{"domainsec", "trust", "revocation", "certstore", "authority"}
	recordRooms    = []string{"protocollog", "tracking", "counters", "logfile"}
	transportRooms = []string{"receive", "send", "routing", "queue", "dsn", "message"}
	groundRooms    = []string{"directory", "smtp", "dnsx", "store", "accounts"}
)

// allowed maps each room to the rooms its product code may import. Sub-packages
// of a room (store/sqlite) count as that room, unless they have a row of their own.
var allowed = map[string][]string{
	"cmd/mailpact": {"cli"},
	"cli":          {"admin", "server", "lab"},
	"lab":          {"server", "admin", "authority", "dnsx/dnsserver", "smtp", "directory", "message"},
	"server":       slices.Concat([]string{"admin"}, transportRooms, trustRooms, recordRooms, groundRooms, []string{"store/sqlite"}),
	"admin":        slices.Concat(transportRooms, trustRooms, recordRooms, groundRooms),
	"receive":      slices.Concat([]string{"smtp", "message", "queue", "directory"}, trustRooms, recordRooms),
	"send":         slices.Concat([]string{"smtp", "routing", "queue", "message", "directory"}, trustRooms, recordRooms),
	"routing":      {"domainsec", "dnsx", "directory", "smtp"},
	"queue":        slices.Concat([]string{"directory", "smtp", "store"}, recordRooms),
	"dsn":          {"smtp", "domainsec"},
	"message":      {"smtp", "domainsec"},
	"trust":        {"domainsec", "directory", "smtp", "dnsx"},
	"revocation":   slices.Concat([]string{"domainsec", "directory", "dnsx"}, recordRooms),
	"certstore":    {"directory", "smtp", "domainsec"},
	"authority":    {"directory", "smtp"},
	"domainsec":    {"smtp", "directory"},
	"protocollog":  {"directory", "smtp", "logfile"},
	"tracking":     {"directory", "smtp", "logfile"},
	"counters":     {"directory", "smtp"},
	"directory":    {"smtp"},
	"logfile":      {},
	"smtp":         {},
	"accounts":     {},
	"dnsx":         {},
	"store":        {},
	// The lab's DNS server is a product package and ground.
	"dnsx/dnsserver": {"dnsx"},
	"store/sqlite":   {"store"},
}

// testHelpers are packages that only tests import; they may import what they like below them.
var testHelpers = []string{
	"smtp/smtptest", "dnsx/dnsxtest", "trust/pkitest", "store/storetest", "queue/queuetest",
	"server/servertest", "message/corpustest",
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "mailpact/cmd/...", "mailpact/internal/...").Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading go list: %v", err)
		}
		seen++
		checkPackage(t, p)
	}
	if seen < 15 {
		t.Fatalf("go list named %d packages; the house has more", seen)
	}
}

func checkPackage(t *testing.T, p goPackage) {
	from := room(p.ImportPath)
	if slices.Contains(testHelpers, from) {
		return
	}
	may, ok := allowed[from]
	if !ok {
		may, ok = allowed[top(from)]
	}
	if !ok {
		t.Errorf("%s is a room that the plan does not have", from)
		return
	}
	for _, imp := range p.Imports {
		if !strings.HasPrefix(imp, "mailpact/") {
			continue
		}
		to := room(imp)
		if slices.Contains(testHelpers, to) {
			t.Errorf("%s imports the test helper %s", from, to)
			continue
		}
		if top(to) == top(from) || slices.Contains(may, to) {
			continue
		}
		if _, own := allowed[to]; !own && slices.Contains(may, top(to)) {
			continue
		}
		t.Errorf("%s may not import %s", from, to)
	}
}

func room(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "mailpact/"), "internal/")
}

func top(r string) string {
	if strings.HasPrefix(r, "cmd/") {
		return r
	}
	head, _, _ := strings.Cut(r, "/")
	return head
}
