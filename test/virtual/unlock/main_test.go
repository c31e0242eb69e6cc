// Package unlock_test tests releases, those that have failed, and Shutdown.
package unlock_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
