// Package leader_test tests leaders in processes of their own, on real servers.
package leader_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
