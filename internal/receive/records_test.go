package receive

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/counters"
	"mailpact/internal/directory"
	"mailpact/internal/protocollog"
	"mailpact/internal/tracking"
)

func TestRecordsOnDisk(t *testing.T) {
	dir := t.TempDir()
	protocol, err := protocollog.Open(protocollog.Options{Directory: filepath.Join(dir, "receive"), Prefix: protocollog.ReceivePrefix, Type: protocollog.ReceiveType})
	if err != nil {
		t.Fatal(err)
	}
	track, err := tracking.Open(tracking.Options{Directory: filepath.Join(dir, "tracking")})
	if err != nil {
		t.Fatal(err)
	}
	set := counters.New()
	w := newWorld(t, func(_ *directory.Configuration, o *Options) {
		o.Recorder = &Records{Protocol: protocol, Tracking: track, Counters: set}
	})
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("dave@fabrikam.com"))
	p.message("carol@stranger.example", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	p.message("t@trial.example", "bob@contoso.com", letter("t@trial.example"))
	p.message("dave@fabrikam.com", "bob@contoso.com", letter("dave@fabrikam.com"))
	p.do("QUIT")
	stop(t, w)
	for _, close := range []func() error{protocol.Close, track.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}

	got := set.Snapshot()
	want := counters.Snapshot{
		DomainSecuredMessagesReceived: 1,
		Refusals:                      map[string]uint64{"FromMismatch": 1, "SubjectMismatch": 1},
		RefusalsByConnector:           map[string]map[string]uint64{"Inet": {"FromMismatch": 1, "SubjectMismatch": 1}},
		WouldHaveFailed:               map[string]map[string]uint64{"trial.example": {"SubjectMismatch": 1}},
		ReceivedByUsage:               map[string]map[string]uint64{"woodgrovebank.com": {"serverAuth+clientAuth": 1}},
		// The third From names a listed domain, and so does the one of the partner in test mode.
		UnmarkedFromMismatch: 2,
		MessagesReceived:     3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}

	rows := readLog(t, filepath.Join(dir, "receive"))
	for _, re := range []string{
		`(?m)^[^,]+,mail1\\Inet,[0-9A-F]{16},0,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,\+,,$`,
		`(?m),1,[^,]+,[^,]+,\*,SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders,Set Session Permissions$`,
		`(?m),\*,,Sending certificate$`,
		`(?m),\*,CN=mail\.woodgrovebank\.com,Certificate subject$`,
		`(?m),\*,[0-9A-F]{16};[^;]+;1,receiving message$`,
		`(?m),\*,[0-9A-F]{16};[^;]+;4,receiving message$`,
		`(?m),-,,Local$`,
	} {
		if !regexp.MustCompile(re).MatchString(rows) {
			t.Errorf("no row like %s in\n%s", re, rows)
		}
	}
	if n := strings.Count(readLog(t, filepath.Join(dir, "tracking")), ",SMTP,RECEIVE,"); n != 3 {
		t.Errorf("%d RECEIVE events, want 3", n)
	}
}

// stop ends the server when all its sessions have ended.
func stop(t *testing.T, w *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func readLog(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}
