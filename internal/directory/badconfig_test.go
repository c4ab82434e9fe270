package directory

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the pinned answers anew")

const badConfigurations = "../../tests/badconfig"

// TestBadConfigurations holds one file per way to be wrong against its answer.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(badConfigurations, "*.yaml"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	base, err := filepath.Abs(badConfigurations)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, faults := Parse(data, LoadOptions{File: name + ".yaml", Base: base, DefaultDataDirectory: "/data"})
			if c != nil || len(faults) == 0 {
				t.Fatal("the file was accepted")
			}
			if name != "several-faults" && len(faults) != 1 {
				t.Errorf("%d faults where the file has one", len(faults))
			}
			for _, f := range faults {
				if f.Line == 0 || f.Column == 0 && !strings.HasPrefix(name, "yaml-") {
					t.Errorf("the fault has no place: %s", f)
				}
			}
			got := strings.ReplaceAll(faults.Error(), base+"/", "") + "\n"
			want := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			pinned, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(pinned), got); diff != "" {
				t.Errorf("the answer differs from %s (-want +got):\n%s", want, diff)
			}
		})
	}
}
