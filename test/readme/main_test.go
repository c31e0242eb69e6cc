// Package readme_test tests the README: that its code runs and what it names exists.
package readme_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
