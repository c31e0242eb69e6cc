// Package line_test tests the line in which the Lockers of several processes wait.
package line_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
