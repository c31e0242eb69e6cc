//go:build linux

package main_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireWait demands that something takes a second at least, to 5 %. How much longer it takes is
// up to how busy the machine is; the log tells.
func requireWait(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	took := time.Since(start)
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	assert.GreaterOrEqual(t, took, 950*time.Millisecond, what)
}

func TestARunWaitsForAsLongAsItIsToldTo(t *testing.T) {
	w := newWorld(t, 3)
	a := w.start("run", "k", "--", "sleep", "60")
	w.requireHeld("k")
	for _, flags := range []string{"--wait 1s", "--wait 1s --key other", "--wait 1s --key third --token"} {
		requireWait(t, flags, func() {
			b := w.run(append(append([]string{"run"}, strings.Fields(flags)...), "k", "--", "touch", w.file("ran"))...)
			assert.Equal(t, 75, b.code(), b.err.String())
			assert.Regexp(t, `^redlock: lock .*: held by .*\n$`, b.err.String())
		})
	}
	assert.Equal(t, 75, w.run("run", "--try", "k", "--", "touch", w.file("ran")).code())
	b := w.run("run", "--try", "-E", "0", "--quiet", "k", "--", "touch", w.file("ran"))
	assert.Equal(t, 0, b.code())
	assert.Empty(t, b.out.String()+b.err.String(), "cron has nothing to mail")
	assert.Equal(t, 75, w.run("run", "--wait", "1s", "--quiet", "k", "--", "true").code())
	b = w.run("run", "--try", "-E", "0", "--quiet", "--node", "redis://127.0.0.1:1", "k", "--", "true")
	assert.Equal(t, 69, b.code())
	assert.Regexp(t, "^redlock: lock \"k\": too few nodes answered.*\n$", b.err.String(), "which is another error")
	assert.Equal(t, 75, w.run("run", "--wait", "0s", "k", "--", "true").code(), "is the same")
	assert.NoFileExists(t, w.file("ran"))
	assert.False(t, a.ended())
}

func TestARunWaitsAsLongForNodesThatAreDown(t *testing.T) {
	w := newWorld(t, 3)
	w.servers[0].Kill()
	w.servers[1].Kill()
	requireWait(t, "nodes that are down", func() {
		b := w.run("run", "--wait", "1s", "k", "--", "touch", w.file("ran"))
		assert.Equal(t, 69, b.code(), b.err.String())
		assert.Regexp(t, `^redlock: lock "k": too few nodes answered: .*connection refused\n$`, b.err.String())
	})
	// And gets the lock when they come back meanwhile.
	b := w.start("run", "--wait", "1h", "k", "--", "true")
	w.servers[0].Restart()
	assert.Equal(t, 0, b.wait(), b.err.String())
	assert.NoFileExists(t, w.file("ran"))
}

// A process that does not get the processor in its turn is passed over. So on a busy machine the
// order may be another one now and then; but never do two run at a time, and all of them run.
func TestRunsThatWaitFollowEachOtherInTheOrderInWhichTheyCame(t *testing.T) {
	for try := range 5 {
		if served, came := runInLine(t); served == came || try == 4 {
			require.Equal(t, came, served)
			return
		}
	}
}

// runInLine has twenty runs wait in line, and returns in which order they were served and came.
func runInLine(t *testing.T) (served, came string) {
	t.Helper()
	w := newWorld(t, 3)
	first := w.start("run", "k", "--", self(t), asHelper, "await", w.file(goFile))
	w.requireHeld("k")
	all := []*tool{first}
	var order []string
	for i := range 20 {
		all = append(all, w.start("run", "k", "--", "sh", "-c", w.alone("sleep 0.02"), strconv.Itoa(i)))
		eventually(t, func() bool { return w.waiters("k") == i+1 }, "it does not wait")
		order = append(order, strconv.Itoa(i))
	}
	w.letGo()
	for _, a := range all {
		assert.Equal(t, 0, a.wait(), a.err.String())
		assert.Empty(t, a.err.String())
	}
	w.requireFree()
	served = strings.Join(strings.Fields(w.read("order")), " ")
	assert.Len(t, strings.Fields(served), 20)
	return served, strings.Join(order, " ")
}

// alone is a script that notes its name and fails beside another one.
func (w *world) alone(body string) string {
	return fmt.Sprintf("mkdir %[1]s/in && echo $0 >>%[1]s/order && %[2]s; rmdir %[1]s/in", w.dir, body)
}

func TestRunsThatComeTogetherRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	var all []*tool
	for i := range 20 {
		all = append(all, w.start("run", "k", "--", "sh", "-c", w.alone("true"), strconv.Itoa(i)))
	}
	for _, a := range all {
		assert.Equal(t, 0, a.wait(), a.err.String())
		assert.Empty(t, a.err.String())
	}
	assert.Len(t, strings.Fields(w.read("order")), len(all))
	w.requireFree()
}

func TestSeveralKeysAreLockedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--key", "b", "--key", "c", "a", "--", "sh", "-c", `printf '%s\n' "$REDLOCK_RESOURCE"; sleep 60`)
	for _, key := range []string{"a", "b", "c"} {
		w.requireHeld(key)
		assert.Equal(t, 75, w.run("run", "--try", key, "--", "true").code())
	}
	eventually(t, func() bool { return a.out.String() == "a\nb\nc\n" }, "not its keys")
	assert.Equal(t, 0, w.run("run", "--try", "--key", "d", "--", "true").code())
}
