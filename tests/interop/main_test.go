//go:build interop

package interop

import (
	"testing"

	"mailpact/tests/testkit"
)

func TestMain(m *testing.M) {
	defer testkit.RemoveBinary()
	m.Run()
}
