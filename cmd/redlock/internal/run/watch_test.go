package run

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestACommandIsAskedToEndInTimeAndKilledBeforeItsLockIsOver(t *testing.T) {
	const grace, margin = 5 * time.Second, time.Second
	start := time.Now()
	for _, c := range []struct {
		name   string
		abrupt bool
		asked  time.Duration // how long ago; 0 if not
		left   time.Duration
		end    bool

		do   action
		wait time.Duration
	}{
		{"much is left", false, 0, 20 * time.Second, false, nothing, 14 * time.Second},
		{"as much as it takes", false, 0, 6 * time.Second, false, ask, 5 * time.Second},
		{"less", false, 0, 3 * time.Second, false, ask, 2 * time.Second},
		{"nothing but the margin", false, 0, time.Second, false, kill, 0},
		{"it is over", false, 0, 0, true, kill, 0},
		{"a stop of a day", false, 0, -24 * time.Hour, false, kill, 0},
		{"lost early", false, 0, 20 * time.Second, true, ask, 5 * time.Second},
		{"asked", false, 2 * time.Second, 4 * time.Second, false, nothing, 3 * time.Second},
		{"asked, and then extended", false, 2 * time.Second, 30 * time.Second, false, nothing, 3 * time.Second},
		{"the grace is over", false, 5 * time.Second, 20 * time.Second, true, kill, 0},
		{"abrupt, and much is left", true, 0, 20 * time.Second, false, nothing, 19 * time.Second},
		{"abrupt, and little is", true, 0, 2 * time.Second, false, nothing, time.Second},
		{"abrupt, and nothing is", true, 0, time.Second, false, kill, 0},
		{"abrupt and lost early", true, 0, 20 * time.Second, true, kill, 0},
		{"the lock does not matter", false, 0, forever, false, nothing, forever - margin - grace},
		{"but the command is to end", false, 0, forever, true, ask, 5 * time.Second},
	} {
		w := watch{abrupt: c.abrupt, grace: grace, margin: margin, asked: c.asked != 0, since: start}
		do, wait := w.next(start.Add(c.asked), c.left, c.end)
		assert.Equal(t, c.do, do, c.name)
		assert.Equal(t, c.wait, wait, c.name)
		assert.Equal(t, c.asked != 0 || c.do == ask, w.asked, c.name)
	}
}
