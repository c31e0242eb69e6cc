//go:build linux

package main_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARunWaitsForNodesThatMayHaveForgottenLocks(t *testing.T) {
	t.Parallel()
	const quarantine = 5 * time.Second
	w := newWorld(t, 3)
	w.hold("k")
	for _, c := range w.clients { // else an acquire may reach a server that has restarted
		require.Eventually(t, func() bool { return c.Exists(t.Context(), "k").Val() == 1 }, time.Minute, time.Millisecond)
	}
	begun := time.Now()
	for _, s := range w.servers[:2] {
		s.Restart() // empty
	}
	for _, c := range w.clients[:2] {
		require.Zero(t, c.Exists(t.Context(), "k").Val())
	}
	a := w.run("run", "--try", "--quarantine", "1h", "k", "--", "touch", w.file("ran"))
	assert.Equal(t, 69, a.code())
	assert.Regexp(t, `^redlock: lock "k": too few nodes answered: .*QUARANTINE the server was started .*\n$`, a.err.String())
	assert.NoFileExists(t, w.file("ran"))

	// One that waits does so until they vote, if that is for longer than it waits for others.
	a = w.run("run", "--ttl", "1s", "--quarantine", quarantine.String(), "other", "--", "true")
	assert.Equal(t, 0, a.code(), a.err.String())
	assert.GreaterOrEqual(t, time.Since(begun), quarantine)
	assert.Equal(t, 69, w.run("run", "--wait", "1s", "--quarantine", "1h", "other", "--", "true").code())
}

func TestTheDoctorKnowsOfAQuarantine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.run("doctor", "--ttl", "1s", "--quarantine", "1h")
	assert.Equal(t, 1, a.code())
	assert.Contains(t, a.out.String(), "By the restart quarantine the node grants no locks yet")
	assert.NotContains(t, a.out.String(), "no_aof")
	eventually(t, func() bool {
		return w.run("doctor", "--ttl", "1s", "--quarantine", "1s").code() == 0
	}, "they are not fit, though nothing that they forget does harm")
	assert.Contains(t, w.run("doctor", "--ttl", "1s").out.String(), "no_aof")
	w.requireFree()
}
