// Package quarantine_test tests nodes that do not vote for a while after a restart.
package quarantine_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
