package lane_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/lane"
)

// A deaf waiter does nothing when it is told.
type deaf struct{}

func (deaf) Due(bool) {}
func (deaf) GiveUp()  {}

func TestANodeThatHasAnsweredAllItWasAskedCountsAsOneThatHasAnsweredSince(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(1)
	asked := func() *lane.Place {
		series := table.NewSeries("a")
		p := &series.Take(lane.Acquire, time.Minute, nil)[0]
		p.Then(deaf{})
		return p
	}
	later := time.Now().Add(time.Hour)
	assert.False(t, table.Answered(0, later), "it was asked nothing")
	p := asked()
	assert.False(t, table.Answered(0, later))
	p.Done(true)
	assert.True(t, table.Answered(0, later))
	p = asked()
	assert.False(t, table.Answered(0, later), "it owes an answer")
	p.Done(false)
	assert.False(t, table.Answered(0, later), "that has failed")
	assert.True(t, table.Answered(0, later.Add(-2*time.Hour)))
	asked().Done(true)
	assert.True(t, table.Answered(0, later))
}
