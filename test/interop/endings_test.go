package interop

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
)

const (
	briefTTL  = 300 * time.Millisecond // of a lock that the test waits for to run out
	holderTTL = 5 * time.Minute
	otherTTL  = 10 * time.Minute // what the holder of a lock that is over asks for
)

// An ending is how a lock is over before the other side gets it.
type ending struct {
	name  string
	ttl   time.Duration
	wiped bool // its key is gone early, and its holder does not know
}

var endings = []ending{
	{name: "ran out", ttl: briefTTL},
	{name: "was wiped", ttl: otherTTL, wiped: true},
}

// An action is what the holder of a lock that is over tries while the other side
// has it.
type action string

const (
	lockAgain action = "lock"
	extend    action = "extend"
	unlock    action = "unlock"
)

// A scene is one neighbour, one way in which a lock is over, and one action.
type scene struct {
	nodes  nodes
	theirs *worker
	ending ending
	action action
	key    string
}

func eachScene(t *testing.T, play func(t *testing.T, s scene)) {
	t.Helper()
	for _, theirs := range neighbours {
		t.Run(theirs.name, func(t *testing.T) {
			t.Parallel()
			theirs.require(t)
			n := startNodes(t)
			w := theirs.start(t, n.addrs())
			for _, e := range endings {
				for _, a := range []action{lockAgain, extend, unlock} {
					t.Run(e.name+", "+string(a), func(t *testing.T) {
						play(t, scene{nodes: n, theirs: w, ending: e, action: a, key: keyOf(t.Name())})
					})
				}
			}
		})
	}
}

// keyOf returns a name without what separates words and several keys of a request.
func keyOf(name string) string { return strings.NewReplacer(" ", "_", ",", "").Replace(name) }

// asks reports whether the action is sure to reach the nodes. Only redsync asks
// them to extend a lock that it knows to be over.
func (s scene) asks() bool { return s.action != extend || s.ending.wiped }

// end waits until the lock that was granted is over.
func (s scene) end(t *testing.T) {
	t.Helper()
	if s.ending.wiped {
		s.nodes.everywhere(t, s.key) // or the last node would grant it after it was wiped
		s.nodes.wipe(t, s.key)
	}
	s.nodes.nowhere(t, s.key, patience)
}

// lockTheirs has them lock. It takes them more than one attempt where the
// machine stands still for as long as the TTL.
func (s scene) lockTheirs(t *testing.T, ttl time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		answer := s.theirs.ask(t, "lock %s %d", s.key, ttl.Milliseconds())
		if answer == "ok" {
			return
		}
		require.True(t, time.Now().Before(deadline), answer)
	}
}

// lockOurs has us lock until all nodes have answered: one that grants the lock when it has run
// out is sent the release at once. It takes more than one attempt where the machine stands
// still for as long as the TTL.
func (s scene) lockOurs(t *testing.T, l *redlock.Locker) *redlock.Lock {
	t.Helper()
	for {
		begun := time.Now()
		lock, err := l.Lock(t.Context(), s.key, s.ending.ttl)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return seam.OpenCalls(l) == 0 }, patience, time.Millisecond)
		if time.Since(begun) < s.ending.ttl {
			return lock
		}
		t.Log("the machine stood still for", time.Since(begun))
		_ = lock.Unlock(t.Context())
	}
}

// newLocker returns a Locker of ours in this process.
func (s scene) newLocker(t *testing.T) *redlock.Locker {
	t.Helper()
	var clients []*redis.Client
	for _, server := range s.nodes.servers {
		clients = append(clients, server.Client(t))
	}
	l, err := redlock.New(clients, redlock.WithNodeTimeout(patience), redlock.WithOwner(owner))
	require.NoError(t, err)
	return l
}

// drain waits until nothing of l is under way.
func drain(t *testing.T, l *redlock.Locker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, l.Shutdown(ctx))
}

func TestALockOfTheirsThatIsOverDoesNothingToOurs(t *testing.T) {
	eachScene(t, func(t *testing.T, s scene) {
		t.Helper()
		s.lockTheirs(t, s.ending.ttl)
		s.end(t)
		l := s.newLocker(t)
		lock, err := l.Lock(t.Context(), s.key, holderTTL)
		require.NoError(t, err)
		require.Equal(t, lock.Value(), s.nodes.everywhere(t, s.key))

		s.nodes.requireUntouched(t, s.key, s.asks(), func() { s.theirsActs(t) })

		require.NoError(t, lock.Extend(t.Context(), holderTTL))
		require.NoError(t, lock.Unlock(t.Context()))
		drain(t, l)
		s.nodes.nowhere(t, s.key, patience)
	})
}

func (s scene) theirsActs(t *testing.T) {
	t.Helper()
	switch s.action {
	case lockAgain:
		require.Regexp(t, "^no ", s.theirs.ask(t, "lock %s %d", s.key, otherTTL.Milliseconds()))
	case extend:
		require.Regexp(t, "^no ", s.theirs.ask(t, "extend %d", otherTTL.Milliseconds()))
	case unlock: // they differ in what they say
		t.Log(s.theirs.ask(t, "unlock"))
	}
}

func TestALockOfOursThatIsOverDoesNothingToTheirs(t *testing.T) {
	eachScene(t, func(t *testing.T, s scene) {
		t.Helper()
		l := s.newLocker(t)
		lock := s.lockOurs(t, l)
		s.end(t)
		s.lockTheirs(t, holderTTL)
		require.NotEqual(t, lock.Value(), s.nodes.everywhere(t, s.key))

		s.nodes.requireUntouched(t, s.key, s.asks(), func() { s.oursActs(t, l, lock) })

		require.Equal(t, "ok", s.theirs.ask(t, "extend %d", holderTTL.Milliseconds()))
		require.Equal(t, "ok", s.theirs.ask(t, "unlock"))
		s.nodes.nowhere(t, s.key, patience)
	})
}

func (s scene) oursActs(t *testing.T, l *redlock.Locker, lock *redlock.Lock) {
	t.Helper()
	switch s.action {
	case lockAgain:
		_, err := l.TryLock(t.Context(), s.key, otherTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		_ = lock.Unlock(t.Context()) // or it counts as held until it runs out
	case extend:
		require.ErrorIs(t, lock.Extend(t.Context(), otherTTL), redlock.ErrLockLost)
	case unlock:
		require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	}
	drain(t, l) // what goes on in the background is over too
}
