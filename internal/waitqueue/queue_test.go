package waitqueue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/waitqueue"
)

const pace = 400 * time.Millisecond

// join puts a new place at the end of the line for "a".
func join(t *waitqueue.Table, every time.Duration) (p *waitqueue.Place, goes bool) {
	p = new(waitqueue.Place)
	return p, t.Join(p, "a", every)
}

func woken(p *waitqueue.Place) bool {
	select {
	case <-p.Woken():
		return true
	default:
		return false
	}
}

func TestOnlyTheFirstOneMayGoUntilItHasGone(t *testing.T) {
	var table waitqueue.Table
	first, goes := join(&table, pace)
	require.True(t, goes)
	second, goes := join(&table, pace)
	require.False(t, goes)
	third, goes := join(&table, pace)
	require.False(t, goes)

	table.Hold(first, "a", nil)
	assert.False(t, second.MayGo(), "its process has the lock")
	assert.False(t, woken(second))
	first.End()
	assert.True(t, second.MayGo())
	assert.True(t, woken(second))
	assert.Equal(t, waitqueue.Turn, second.Why())
	assert.Zero(t, second.Why(), "it has been asked")

	third.Leave()
	assert.False(t, woken(second), "that somebody behind it has gone is no news")
	second.Leave()
	assert.Zero(t, table.Len())
}

func TestACallIsForTheHeadAlone(t *testing.T) {
	var table waitqueue.Table
	assert.False(t, table.Call("a"), "nobody wants it")
	first, _ := join(&table, pace)
	second, _ := join(&table, pace)
	assert.True(t, table.Call("a"))
	assert.True(t, woken(first))
	assert.Equal(t, waitqueue.Called, first.Why())
	assert.False(t, woken(second))
	table.Hold(first, "a", nil)
	second.Leave()
	assert.False(t, table.Call("a"), "it is held, and nobody waits")
	first.End()
	assert.False(t, table.Call("a"))
}

func TestTheHeadTriesAsOftenAsAnybodyInTheLineWould(t *testing.T) {
	var table waitqueue.Table
	head, _ := join(&table, pace)
	assert.Equal(t, pace, head.Pace())
	_, _ = join(&table, 2*pace)
	assert.False(t, woken(head), "it waits for nobody who is in less of a hurry")
	assert.Equal(t, pace, head.Pace())

	hasty, _ := join(&table, pace/10)
	assert.True(t, woken(head))
	assert.Equal(t, waitqueue.Hurry, head.Why())
	assert.Equal(t, pace/10, head.Pace())
	_, _ = join(&table, pace/10)
	assert.False(t, woken(head), "it hurries already")
	other, _ := join(&table, pace/20)
	assert.True(t, woken(head))

	other.Leave()
	assert.Equal(t, pace/10, head.Pace())
	hasty.Leave()
	assert.Equal(t, pace/10, head.Pace(), "there is another one")
}

func TestTheLastOneInLineLeavesTheLineOfTheProcessToo(t *testing.T) {
	var table waitqueue.Table
	first, _ := join(&table, pace)
	second, _ := join(&table, pace)
	assert.False(t, first.Entered())
	first.Enter(2)
	_, owed := first.Leave()
	assert.False(t, owed, "the place of the process is for the next one")
	assert.True(t, second.Entered())
	node, owed := second.Leave()
	assert.True(t, owed)
	assert.Equal(t, 2, node)

	again, _ := join(&table, pace)
	assert.False(t, again.Entered(), "the line is a new one")
	again.Enter(0)
	again.Quit()
	_, owed = again.Leave()
	assert.False(t, owed)
}

func TestAPlaceThatHasBecomeALockLeavesTheLineOfTheProcessToo(t *testing.T) {
	var table waitqueue.Table
	p, _ := join(&table, pace)
	p.Enter(1)
	table.Hold(p, "a", nil)
	node, owed := p.Leave()
	assert.True(t, owed)
	assert.Equal(t, 1, node)
	_, owed = p.Leave()
	assert.False(t, owed, "once")
	p.End()
	_, owed = p.Leave()
	assert.False(t, owed)
	assert.Zero(t, table.Len())
}

func TestAPlaceInNoLineIsWokenByNobody(t *testing.T) {
	var p waitqueue.Place
	assert.Nil(t, p.Woken())
	assert.Zero(t, p.Why())
	assert.False(t, p.Entered())
	p.Quit()
	_, owed := p.Leave()
	assert.False(t, owed)
}
