// Package holding_test tests locks that are held for long, and what they cost.
package holding_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
