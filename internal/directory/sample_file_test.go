package directory

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSampleFile holds the sample in docs against the table that reads files.
func TestSampleFile(t *testing.T) {
	const path = "../../docs/mailpact.sample.yaml"
	if *update {
		if err := os.WriteFile(path, Sample(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), string(Sample())); diff != "" {
		t.Errorf("%s is out of date; run go test ./internal/directory -update (-file +sample):\n%s", path, diff)
	}
}
