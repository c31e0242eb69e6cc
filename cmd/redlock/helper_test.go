//go:build linux

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helper is what the command runs in tests that need more than a shell.
func helper(name string, args []string) {
	switch name {
	case "beat":
		beat(args[0], args[1])
	case "stubborn":
		stubborn(args[0], args[1])
	case "await":
		await(args[0])
		os.Exit(0)
	}
	os.Exit(99)
}

// beat writes its name and the time to a file, again and again, and obeys no signal but KILL.
func beat(file, name string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the test's own
	if err != nil {
		panic(err)
	}
	for {
		if _, err := fmt.Fprintf(f, "%s %d\n", name, now()); err != nil {
			panic(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// await waits for a file, as a single process: a shell may stop between two.
func await(file string) {
	fmt.Println("runs")
	for {
		if _, err := os.Stat(file); err == nil { //nolint:gosec // the test's own
			fmt.Println("done")
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stubborn beats, and so do a child of it and one in a session of its own.
func stubborn(file, name string) {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for _, session := range []bool{false, true} {
		cmd := exec.Command(path, asHelper, "beat", file, name) //nolint:gosec,noctx // ends with the tree
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	beat(file, name)
}

// beats returns when each name has beaten for the first and for the last time.
func (w *world) beats(file string) (first, last map[string]time.Duration) {
	first, last = map[string]time.Duration{}, map[string]time.Duration{}
	for line := range strings.Lines(w.read(file)) {
		name, at, found := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(at, 10, 64)
		if !found || err != nil {
			continue // it was killed while it wrote
		}
		if _, known := first[name]; !known {
			first[name] = time.Duration(n)
		}
		last[name] = time.Duration(n)
	}
	return first, last
}

// requireBeat waits until a name beats.
func (w *world) requireBeat(file, name string) {
	w.t.Helper()
	eventually(w.t, func() bool {
		first, _ := w.beats(file)
		_, beats := first[name]
		return beats
	}, "%s does not run", name)
}

// requireDead checks that nobody beats any more.
func (w *world) requireDead(file string) {
	w.t.Helper()
	before := w.read(file)
	eventually(w.t, func() bool {
		time.Sleep(50 * time.Millisecond)
		after := w.read(file)
		same := after == before
		before = after
		return same
	}, "it goes on")
}

func stubbornArgs(t *testing.T, w *world, file, name string) []string {
	t.Helper()
	return []string{self(t), asHelper, "stubborn", w.file(file), name}
}
