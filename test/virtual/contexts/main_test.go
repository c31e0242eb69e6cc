// Package contexts_test tests what ends a lock's context, and With and Do, which run a function under it.
package contexts_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
