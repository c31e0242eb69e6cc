// Package gate_test tests the line when the node that keeps it restarts, moves, forgets or is wrong.
package gate_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
