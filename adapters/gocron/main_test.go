package gocronlock_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := host(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	rig.MainVirtual(m)
}
