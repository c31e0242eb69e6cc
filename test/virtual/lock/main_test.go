// Package lock_test tests taking a lock: attempts, time-outs, slow and silent nodes.
package lock_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
