// Package check_test tests what Check does when nodes hang, callers give up and clients
// misbehave, and how a report reads.
package check_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
