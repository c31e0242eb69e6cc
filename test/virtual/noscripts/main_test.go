// Package noscripts_test tests Lockers that run no scripts.
package noscripts_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }
