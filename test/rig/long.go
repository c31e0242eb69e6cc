package rig

import (
	"os"
	"testing"
)

// Long skips a test that takes more than some seconds, unless REDLOCK_LONG is set. It is
// the first line of the test: make check finds those in virtual time and those
// of test/versions by it and runs them; it runs all of test/model, and those on real
// servers with -race.
func Long(t *testing.T) {
	t.Helper()
	if os.Getenv("REDLOCK_LONG") == "" {
		t.Skip("it takes long: make check runs it, as REDLOCK_LONG=1 does")
	}
}
