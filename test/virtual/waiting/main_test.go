// Package waiting_test tests callers of one process that wait for each other.
package waiting_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
