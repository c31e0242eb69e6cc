// Package pipeline_test tests commands that are sent in batches.
package pipeline_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
