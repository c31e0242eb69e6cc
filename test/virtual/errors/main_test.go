// Package errors_test tests what callers are told: of bad input, of nodes that answer badly or not at all, and of mistakes.
package errors_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
