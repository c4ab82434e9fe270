package scripts

import (
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

// keepFound sets a variable to what a pattern's group finds in the last output.
func keepFound(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: found NAME PATTERN")
	}
	m := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		m = regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stderr"))
	}
	if len(m) != 2 {
		ts.Fatalf("%s is not in the last output, or has no group", args[1])
	}
	ts.Setenv(args[0], m[1])
}
