package waitqueue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/value"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// A holder has a lock and is told apart by how long it keeps it.
type holder time.Duration

func (h holder) Keeps() time.Duration { return time.Duration(h) }

func (holder) Recheck() <-chan struct{} { return nil }

func (holder) Name() value.Name { return value.Name{} }

func holders(t *waitqueue.Table, resources ...string) []waitqueue.Holder {
	return t.Holders(nil, resources)
}

func TestTheHoldersOfSomeResourcesAreKnownUntilTheyEnd(t *testing.T) {
	var table waitqueue.Table
	var one waitqueue.Place
	var all waitqueue.Group
	assert.Empty(t, holders(&table, "a", "b"))
	table.Hold(&one, "a", holder(1))
	table.HoldAll(&all, []string{"b", "c"}, holder(2))
	assert.Equal(t, []waitqueue.Holder{holder(1)}, holders(&table, "a", "x"))
	assert.Equal(t, []waitqueue.Holder{holder(1), holder(2), holder(2)}, holders(&table, "a", "b", "c"))
	one.End()
	assert.Equal(t, []waitqueue.Holder{holder(2)}, holders(&table, "a", "b"))
	all.End()
	assert.Empty(t, holders(&table, "a", "b", "c"))
	assert.Zero(t, table.Len())
}

func TestAHolderIsForgottenAlthoughSomebodyWaits(t *testing.T) {
	var table waitqueue.Table
	var one waitqueue.Place
	var all waitqueue.Group
	table.Hold(&one, "a", holder(1))
	waiter, goes := join(&table, pace)
	assert.False(t, goes)
	table.Watch(&all, []string{"a", "b"})
	one.End()
	assert.Empty(t, holders(&table, "a", "b"))
	table.Hold(waiter, "a", holder(2))
	assert.Equal(t, []waitqueue.Holder{holder(2)}, holders(&table, "a"))
	waiter.End()
	table.HoldAll(&all, []string{"a", "b"}, holder(3))
	assert.Equal(t, []waitqueue.Holder{holder(3), holder(3)}, holders(&table, "a", "b"))
	all.End()
	assert.Empty(t, holders(&table, "a"))
	assert.Zero(t, table.Len())
}

func TestOfTwoHoldersTheOneThatIsLeftIsKnown(t *testing.T) {
	var table waitqueue.Table
	var first, second waitqueue.Place
	table.Hold(&first, "a", holder(1))
	table.Hold(&second, "a", holder(2))
	assert.Equal(t, []waitqueue.Holder{holder(1), holder(2)}, holders(&table, "a"))
	second.End()
	assert.Equal(t, []waitqueue.Holder{holder(1)}, holders(&table, "a"))
	table.Hold(&second, "a", holder(3))
	first.End()
	assert.Equal(t, []waitqueue.Holder{holder(3)}, holders(&table, "a"))
	second.End()
	assert.Empty(t, holders(&table, "a"))
	assert.Zero(t, table.Len())
}
