// Package inspect_test tests Inspect and Break.
package inspect_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
