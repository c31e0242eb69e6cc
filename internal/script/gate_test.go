package script_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

// gateKeys are a resource, its line and its reservation.
var gateKeys = []string{"a", "{a}line", "{a}next"}

// A gateRefusal is what the acquire script of a gate says when the resource is
// not to be had.
type gateRefusal struct {
	remaining int64
	mark      string
	rank      int64
	came      string
}

func (n *node) requireGateRefusal(args ...any) gateRefusal {
	n.t.Helper()
	reply, err := n.run(script.AcquireGate, gateKeys, args...)
	require.NoError(n.t, err)
	all, ok := reply.([]any)
	require.Truef(n.t, ok, "not a refusal: %v", reply)
	require.Len(n.t, all, 4)
	return gateRefusal{all[0].(int64), all[1].(string), all[2].(int64), all[3].(string)}
}

// requireLine demands who waits, first to last, and that the line goes away by
// itself.
func (n *node) requireLine(lockers ...string) {
	n.t.Helper()
	line, err := n.client.ZRange(n.t.Context(), gateKeys[1], 0, -1).Result()
	require.NoError(n.t, err)
	require.Equal(n.t, append([]string{}, lockers...), line)
	if len(lockers) > 0 {
		left := n.client.PTTL(n.t.Context(), gateKeys[1]).Val()
		require.Positive(n.t, left, "it would stay for ever")
		require.LessOrEqual(n.t, left, 10*time.Second)
	}
}

// requireNext demands what a release says, and that it tells of one who is to have
// the resource next.
func (n *node) requireNext(want int64, args ...any) {
	n.t.Helper()
	reply, err := n.run(script.ReleaseGate, gateKeys, args...)
	require.NoError(n.t, err)
	require.Equal(n.t, []any{want, "next"}, reply)
}

func (n *node) requireReserved(locker string) {
	n.t.Helper()
	reserved, err := n.client.Get(n.t.Context(), gateKeys[2]).Result()
	if locker == "" {
		require.ErrorIs(n.t, err, redis.Nil)
		return
	}
	require.NoError(n.t, err)
	require.Equal(n.t, locker, reserved)
	require.Positive(n.t, n.client.PTTL(n.t.Context(), gateKeys[2]).Val(), "it would stay for ever")
}

func TestAGateGrantsWhatIsFreeAndLeavesNothingElse(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "")
		n.requireOurs(1, script.AcquireGate, gateKeys, ours, hour, "me", "now")
		n.requireHas("a", ours, hour)
		require.Equal(n.t, int64(1), n.client.DBSize(n.t.Context()).Val())
		n.requireReply(1, script.ReleaseGate, gateKeys, ours, "me", "pop", 30)
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "me", "pop", 30)
		require.Zero(n.t, n.client.DBSize(n.t.Context()).Val())
	})
}

func TestAGateLetsLockersWaitInTheOrderInWhichTheyCameFirst(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		require.Equal(n.t, gateRefusal{rank: -1}, without(n.requireGateRefusal(ours, hour, "me", "")), "it does not wait")
		n.requireLine()
		first := n.requireGateRefusal(ours, hour, "first", "now")
		require.Zero(n.t, first.rank)
		n.requireGateRefusal(ours, hour, "third", "now")
		n.requireGateRefusal(ours, hour, "second", first.came+".5")
		again := n.requireGateRefusal(ours, hour, "first", "now")
		require.Equal(n.t, first.came, again.came, "a place is kept through retries")
		n.requireGateRefusal(ours, hour, "third", first.came+".7")
		n.requireLine("first", "second", "third")
		require.EqualValues(n.t, 0, n.requireGateRefusal(ours, hour, "third", "5").rank, "it had an earlier one when it was called")
		n.requireGateRefusal(ours, hour, "third", "now")
		n.requireLine("third", "first", "second")
	})
}

// The clock of the node was a day ahead when the first one came.
func TestWhoComesToAGateIsBehindAllOthersThoughItsClockWasSetBack(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		ahead := strconv.FormatInt(time.Now().Add(24*time.Hour).UnixMicro(), 10)
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		n.requireGateRefusal(ours, hour, "first", ahead)
		require.EqualValues(n.t, 1, n.requireGateRefusal(ours, hour, "second", "now").rank)
		n.requireReply(1, script.ReleaseGate, gateKeys, theirs, "holder", "keep", "now")
		n.requireLine("first", "second", "holder")
	})
}

// without returns a refusal without what depends on the holder.
func without(r gateRefusal) gateRefusal { return gateRefusal{rank: r.rank, came: r.came} }

func TestAReleaseKeepsTheResourceForTheFirstInLine(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		n.requireGateRefusal(ours, hour, "first", "now")
		n.requireGateRefusal(ours, hour, "second", "now")
		n.requireNext(1, theirs, "holder", "pop", hour/3600) // a second
		n.requireLine("second")
		n.requireReserved("first")
		require.Equal(n.t, "next", n.requireGateRefusal(others, hour, "newcomer", "").mark)
		n.requireNext(-1, theirs, "holder", "pop", 1000)
		n.requireReserved("first")
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "first", "now")
		n.requireReserved("")
		n.requireLine("second")
	})
}

// kept is what a gate puts in the place of a resource that is kept for somebody.
const kept = "redlock:next"

func TestWhatIsKeptForTheNextOneIsNotFreeForAPlainSET(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		called := func() {
			n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
			n.requireGateRefusal(ours, hour, "me", "now")
			n.requireNext(1, theirs, "holder", "pop", hour/3600) // a second
			require.Equal(t, kept, n.client.Get(n.t.Context(), "a").Val())
			require.InDelta(t, 500, n.client.PTTL(n.t.Context(), "a").Val().Milliseconds(), 500, "it would stay")
		}
		called()
		set, err := n.client.SetArgs(n.t.Context(), "a", others, redis.SetArgs{Mode: "NX", TTL: time.Hour}).Result()
		require.ErrorIs(t, err, redis.Nil, set)
		n.requireReply(-1, script.Extend, []string{"a"}, theirs, hour)
		n.requireReply(-1, script.Release, []string{"a"}, theirs)
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "now")
		n.requireHas("a", ours, hour)
		n.requireReply(1, script.ReleaseGate, gateKeys, ours, "me", "pop", 30)

		called() // and leaves the line
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "me", "leave", 1000)
		require.Zero(t, n.client.DBSize(n.t.Context()).Val())

		called() // and forgets it
		require.NoError(t, n.client.Del(n.t.Context(), gateKeys[2]).Err())
		n.requireReply(1, script.AcquireGate, gateKeys, others, hour, "other", "")
		n.requireReply(1, script.Release, gateKeys[:1], others)

		for _, take := range []func(){ // those that do not look at the line
			func() { n.requireReply(1, script.Acquire, []string{"a"}, others, hour) },
			func() {
				n.requireReply(1, script.Acquire, []string{"b", "a"}, others, hour)
				n.requireHas("b", others, hour)
			},
			func() { n.requireReply(5, script.AcquireFenced, []string{"a", "{a}token"}, others, hour, 1, 5, 0) },
		} {
			called()
			take()
			n.requireHas("a", others, hour)
			n.requireReply(1, script.Release, gateKeys[:1], others)
			require.NoError(t, n.client.FlushDB(n.t.Context()).Err())
		}
	})
}

func TestAnAttemptThatIsUndoneGoesBackToItsPlace(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "now")
		n.requireReply(1, script.ReleaseGate, gateKeys, ours, "me", "keep", "5")
		n.requireLine("me") // though nobody else had made the line
		n.requireReserved("")
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "gone", "keep", "5")
		n.requireLine("me")
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "5")
		n.requireLine()
	})
}

func TestTheFirstInLineReservesForItselfIfItIsFarAway(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		near := n.requireGateRefusal(others, hour, "near", "now")
		far := n.requireGateRefusal(ours, hour, "far", "now")
		n.requireGateRefusal(ours, hour, "far", far.came+" 1000")
		n.requireReserved("") // it is not the first one
		n.requireNext(1, theirs, "holder", "pop", 1000)
		n.requireReply(1, script.AcquireGate, gateKeys, others, hour, "near", near.came)
		require.Zero(n.t, n.requireGateRefusal(ours, hour, "far", "look "+far.came+" 1000").rank)
		n.requireReserved("far")
		n.requireNext(1, others, "near", "pop", 1000)
		n.requireLine("far")
		require.Equal(t, kept, n.client.Get(t.Context(), "a").Val())
		require.Equal(n.t, "next", n.requireGateRefusal(theirs, hour, "holder", "").mark)
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "far", far.came+" 1000")
		n.requireReserved("")
		n.requireLine()

		n.requireGateRefusal(theirs, hour, "dead", "now")
		n.requireGateRefusal(theirs, hour, "dead", "5 1000")
		n.requireReserved("dead")
		n.requireReply(1, script.ReleaseGate, gateKeys, ours, "far", "pop 16", 1000)
		n.requireReserved("") // nobody listens for it
	})
}

func TestWhoLeavesPassesItsReservationOn(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		n.requireGateRefusal(ours, hour, "first", "now")
		n.requireGateRefusal(ours, hour, "second", "now")
		n.requireNext(1, theirs, "holder", "pop", 1000)
		n.requireNext(-1, ours, "first", "leave", 1000)
		n.requireReserved("second")
		n.requireLine()
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "second", "leave", 1000)
		require.Zero(n.t, n.client.DBSize(n.t.Context()).Val())
	})
}

func TestWhatIsWrongInALineCostsNoLock(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(n *node){
		"lists":                   func(n *node) { n.setList(gateKeys[1]); n.setList(gateKeys[2]) },
		"a reservation for ever":  func(n *node) { n.set(gateKeys[2], "dead", 0) },
		"a reservation for hours": func(n *node) { n.set(gateKeys[2], "dead", hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				spoil(n)
				n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "now")
				n.requireGateRefusal(theirs, hour, "other", "now")
				_, err := n.run(script.ReleaseGate, gateKeys, ours, "me", "pop", 30)
				require.NoError(n.t, err)
				n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "other", "now")
			})
		})
	}
}

func TestAGateThatIsOnlyLookedAtGrantsNothingButAReservation(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		seen := n.requireGateRefusal(ours, hour, "first", "look now")
		require.Equal(n.t, gateRefusal{remaining: -1, mark: "none", came: seen.came}, seen)
		require.Zero(n.t, n.client.Exists(n.t.Context(), "a").Val())
		n.requireGateRefusal(others, hour, "second", "look now")
		n.requireLine("first", "second")
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		require.Positive(n.t, n.requireGateRefusal(ours, hour, "first", "look now").remaining)
		n.requireNext(1, theirs, "holder", "pop", 1000)
		require.Equal(n.t, "next", n.requireGateRefusal(others, hour, "second", "look now").mark)
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "first", "look "+seen.came)
	})
}

func TestTheReleaseOfALockThatWasHeldElsewhereLetsTheNextOneGo(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", theirs, hour) // left over
		stale := n.requireGateRefusal(others, hour, "first", "now").mark
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "holder", "pop", 1000)
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "holder", "pop =01234567", 1000)
		n.requireLine("first")
		n.requireNext(-1, ours, "holder", "pop ="+stale, 1000)
		n.requireReserved("first")
		n.requireHas("a", theirs, hour)
	})
}

func TestAnUndoneLookLetsNobodyGoUnlessItWasGranted(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireGateRefusal(others, hour, "first", "look now")
		n.requireReply(-1, script.ReleaseGate, gateKeys, ours, "me", "undo 16", 1000)
		n.requireLine("first")
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", "")
		_, err := n.run(script.ReleaseGate, gateKeys, ours, "me", "undo", 1000)
		require.NoError(n.t, err)
		n.requireLine()
		n.requireReserved("first")
	})
}

func TestAReleaseTellsOnceWhichCommandOfTheServerDoesTheSame(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		native := func(want int64, s *script.Script, keys []string, args ...any) (name string) {
			t.Helper()
			reply, err := n.run(s, keys, args...)
			require.NoError(t, err)
			all, ok := reply.([]any)
			require.True(t, ok, "%v", reply)
			require.Len(t, all, 3)
			require.Equal(t, []any{want, "native"}, all[:2])
			return all[2].(string)
		}
		has := "none"
		if n.client.Do(n.t.Context(), "delex", "a", "ifeq", "b").Err() == nil {
			has = "delex"
		} else if n.client.Do(n.t.Context(), "delifeq", "a", "b").Err() == nil {
			has = "delifeq"
		}
		n.t.Log(has)
		n.set("a", ours, hour)
		require.Equal(t, has, native(1, script.Release, gateKeys[:1], ours, "try"))
		require.Equal(t, has, native(-1, script.Release, gateKeys[:1], ours, "try"))
		n.set("a", theirs, hour)
		require.Equal(t, has, native(-1, script.ReleaseGate, gateKeys, ours, "me", "poptry 16", 30))
		n.requireHas("a", theirs, hour)
		require.Equal(t, has, native(1, script.ReleaseGate, gateKeys, theirs, "me", "poptry", 30))
		n.setList("a")
		n.requireWrongType(script.Release, gateKeys[:1], ours, "try")
		require.NoError(t, n.client.Del(n.t.Context(), "a").Err())

		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		n.requireGateRefusal(ours, hour, "first", "now")
		n.requireNext(1, theirs, "holder", "poptry", 1000) // that is more important
	})
}
