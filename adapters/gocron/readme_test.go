package gocronlock_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestReadmeShowsCodeOfTheExamplesAsItIs(t *testing.T) { rig.RequireShown(t) }
