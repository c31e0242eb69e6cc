package asynqlock_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) {
	if delay := os.Getenv(envDelay); delay != "" {
		if err := schedule(delay, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	rig.MainVirtual(m)
}
