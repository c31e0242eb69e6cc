// Package locking_test tests locking, waiting and batches on servers that are well, and what they cost.
package locking_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
