package rig

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/b0401464/redlock/test/servers"
)

// Main is for TestMain: it runs the tests of a package, and fails if goroutines are left.
func Main(m *testing.M) {
	servers.Silence()
	code := m.Run()
	if code == 0 {
		if err := leftRunning(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// MainVirtual is Main for tests in virtual time. They keep little and make much garbage,
// of Lua states most of all: collected as often as usual, that took half of their
// processor time.
func MainVirtual(m *testing.M) {
	debug.SetGCPercent(400)
	Main(m)
}

// leftRunning tells what goroutines do not end by themselves.
func leftRunning() (err error) {
	// A Locker that nobody shuts down tries a release that has failed once more after
	// a second, and calls of it may go on for some more.
	for range 10 {
		// A pool whose dials have failed tries on its own, and ends up to a second
		// after it was closed.
		err = goleak.Find(goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
		if err == nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return err
}
