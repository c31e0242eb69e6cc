package redlock_test

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// A badServer is a node that answers badly for as long as it is told to.
type badServer struct {
	*node
	// shadow is who applies commands whose answers are bad. What it is told
	// itself goes nowhere.
	shadow *server.Peer

	mu      sync.Mutex
	says    *answer // nil: it is well
	to      []string
	applies bool
	times   int
}

func newBadServer(t *testing.T, n *node) *badServer {
	t.Helper()
	b := &badServer{node: n, shadow: server.NewPeer(bufio.NewWriter(io.Discard))}
	c, err := n.Dial() // a server that nobody has dialled is none yet
	require.NoError(t, err)
	require.NoError(t, c.Close())
	n.Server().SetPreHook(b.answer)
	return b
}

// always is a number of times that is never reached.
const always = 1 << 30

// turn makes the node answer so, that many times, to the scripts of these ops,
// or to everything if there are none. With apply it does what it is told all
// the same.
func (b *badServer) turn(a *answer, apply bool, times int, ops ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.says, b.applies, b.times, b.to = a, apply, times, ops
}

// due returns the bad answer to a command, if there is to be one, and whether
// the command is to be applied.
func (b *badServer) due(op string) (a *answer, apply bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.says == nil || b.times == 0 || (len(b.to) > 0 && !slices.Contains(b.to, op)) {
		return nil, false
	}
	b.times--
	return b.says, b.applies && op != ""
}

// answer is asked before each command. It reports whether it has answered.
func (b *badServer) answer(c *server.Peer, cmd string, args ...string) bool {
	if c == b.shadow {
		return false
	}
	op, value := opOf(cmd, args), ""
	a, apply := b.due(op)
	if a == nil {
		return false
	}
	if apply {
		b.Server().Dispatch(b.shadow, append([]string{cmd}, args...))
	}
	if op != "" {
		keys, _ := strconv.Atoi(args[1])
		value = args[2+keys]
	}
	part := value[:min(a.part, len(value))]
	c.WriteRaw(strings.NewReplacer("{value}", value, "{part}", part).Replace(a.raw))
	if a.cut {
		c.Close()
	}
	for a.drip != "" && !c.Closed() {
		c.WriteRaw(a.drip)
		c.Flush()
		time.Sleep(time.Second)
	}
	return true
}

// opOf returns what a script is for, "" for any other command.
func opOf(cmd string, args []string) string {
	if cmd != "EVALSHA" && cmd != "EVAL" {
		return ""
	}
	for op, scripts := range map[string][]*script.Script{
		redlock.NodeAcquire: {script.Acquire, script.AcquireGate},
		redlock.NodeExtend:  {script.Extend},
		redlock.NodeRelease: {script.Release, script.ReleaseGate},
	} {
		for _, s := range scripts {
			byName := s.Args(nil)
			if args[0] == byName[1] || args[0] == s.Eval(byName)[1] {
				return op
			}
		}
	}
	return ""
}

// A badFleet is a number of nodes and how many of them are bad.
type badFleet struct{ nodes, bad int }

// A badRig is one bad answer, and those who give it, in one bubble.
type badRig struct {
	badFleet
	t       *testing.T
	says    *answer
	applies bool

	servers []*node
	bad     []*badServer
	good    []*node
	locker  *redlock.Locker
	log     realLog
}

// onBadMajorities runs test for each answer that is a bad one for op, given by
// two of three nodes, and by most of another fleet, which changes from answer to
// answer. So does whether the bad servers do what they are told.
func onBadMajorities(t *testing.T, op string, test func(rig *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 2}, {1, 1}}, {{5, 3}, {3, 2}}, {{3, 2}, {3, 3}}}, test)
}

// onABadMajority is onBadMajorities with one fleet for each answer.
func onABadMajority(t *testing.T, op string, test func(rig *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 2}}, {{1, 1}}, {{5, 3}}, {{3, 2}}, {{3, 3}}}, test)
}

// onABadMinority is the same for as many nodes as can be missed.
func onABadMinority(t *testing.T, op string, test func(rig *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 1}}, {{5, 2}}, {{3, 1}}}, test)
}

// onBadFleets runs test for each answer by each of some fleets, in turns.
func onBadFleets(t *testing.T, op string, fleets [][]badFleet, test func(rig *badRig)) {
	t.Helper()
	for i, a := range badAnswers() {
		if !slices.Contains(a.ops(), op) {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			for j, f := range fleets[i%len(fleets)] {
				onBadFleet(t, a, (i+j)%2 == 0, f, test)
			}
		})
	}
}

func onBadFleet(t *testing.T, a *answer, applies bool, f badFleet, test func(rig *badRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rig := newBadRig(t, f)
		rig.says, rig.applies = a, applies && a.kind != "NOSCRIPT" // which says that nothing was applied
		warmUp(t, rig.locker)
		defer func() {
			if t.Failed() {
				t.Logf("%d of %d nodes were bad, applied: %v", f.bad, f.nodes, rig.applies)
			}
		}()
		test(rig)
	})
}

func newBadRig(t *testing.T, f badFleet, opts ...redlock.Option) *badRig {
	t.Helper()
	rig := &badRig{badFleet: f, t: t, servers: newNodes(t, f.nodes)}
	for _, n := range rig.servers[:f.bad] {
		rig.bad = append(rig.bad, newBadServer(t, n))
	}
	rig.good = rig.servers[f.bad:]
	rig.locker = newLocker(t, rig.servers, append(opts, rig.log.option())...)
	return rig
}

// turnBad has the bad servers answer badly to the scripts of these ops, or to
// all that the answer is a bad one for.
func (rig *badRig) turnBad(ops ...string) {
	if len(ops) == 0 {
		ops = rig.says.ops()
	}
	for _, b := range rig.bad {
		b.turn(rig.says, rig.applies, always, ops...)
	}
}

func (rig *badRig) turnGood() {
	for _, b := range rig.bad {
		b.turn(nil, false, 0)
	}
}

// requireFailed requires that err is what op says of a round that found no
// quorum because of the bad servers.
func (rig *badRig) requireFailed(t *testing.T, err error, op, nodeOp string) *redlock.LockError {
	t.Helper()
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.Equal(t, op == redlock.OpLock, isKind(err, redlock.ErrNotAcquired))
	requireNoOtherKind(t, err, redlock.ErrNoQuorum, redlock.ErrNotAcquired)
	require.IsType(t, (*redlock.LockError)(nil), err)
	e := err.(*redlock.LockError) //nolint:errorlint // it was checked
	require.Equal(t, op, e.Op)
	require.Equal(t, []string{"a"}, e.Resources)
	require.Equal(t, "no_quorum", e.ErrorType())
	require.Equal(t, quorum.Size(rig.nodes), e.Quorum)
	require.Less(t, e.Agreed, e.Quorum)
	last := -1
	for _, n := range e.Nodes {
		require.Greater(t, n.Node, last, "in node order, each once")
		require.ErrorContains(t, err, n.Err.Error())
		last = n.Node
		want := rig.says.kind
		if rig.says.silent() {
			want = "no_answer"
		} else {
			require.ErrorContains(t, n, rig.says.text)
		}
		rig.requireBad(t, n, nodeOp, want)
	}
	require.Greater(t, len(e.Nodes), quorum.Spare(rig.nodes), "fewer failures would not have decided it")
	return e
}

// requireBad requires that n names a bad server and what is wrong with it.
func (rig *badRig) requireBad(t *testing.T, n *redlock.NodeError, op, kind string) {
	t.Helper()
	require.Less(t, n.Node, rig.badFleet.bad, "a healthy node")
	require.Equal(t, rig.servers[n.Node].client.Options().Addr, n.Addr)
	require.Equal(t, op, n.Op)
	require.Equal(t, kind, n.ErrorType(), "%v", n)
	require.ErrorContains(t, n, n.Addr)
	requireNoOtherKind(t, n)
}

// requireHeard requires that the handler has heard of that many commands of each
// op from each bad server, and of nothing else, and forgets them.
func (rig *badRig) requireHeard(t *testing.T, times heard) {
	t.Helper()
	want, got := heard{}, heard{}
	for i := range rig.bad {
		for op, n := range times {
			if slices.Contains(rig.says.ops(), op) {
				want[fmt.Sprintf("%s by %d", op, i)] = n
			}
		}
	}
	for _, n := range rig.log.take(0) {
		rig.requireBad(t, n, n.Op, rig.says.kind)
		got[fmt.Sprintf("%s by %d", n.Op, n.Node)]++
	}
	require.Equal(t, want, got)
}

// settle waits, in no time, until the slowest client has given up.
func (rig *badRig) settle(t *testing.T) {
	t.Helper()
	for redlock.OpenCalls(rig.locker) > 0 {
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

// shutdown ends the Locker, which waits for all that is under way.
func (rig *badRig) shutdown(t *testing.T) {
	t.Helper()
	assert.NoError(t, rig.locker.Shutdown(t.Context()))
}
