// Package faults_test tests servers that freeze, die, restart, answer late and forget.
package faults_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
