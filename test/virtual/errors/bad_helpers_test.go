package errors_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// A badServer is a node that answers badly for as long as it is told to.
type badServer struct {
	*rig.Node
	// shadow is who applies commands whose answers are bad. What it is told
	// itself goes nowhere.
	shadow *server.Peer

	mu      sync.Mutex
	says    *answer // nil: it is well
	to      []redlock.Op
	applies bool
	times   int
}

func newBadServer(t *testing.T, n *rig.Node) *badServer {
	t.Helper()
	b := &badServer{Node: n, shadow: server.NewPeer(bufio.NewWriter(io.Discard))}
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
func (b *badServer) turn(a *answer, apply bool, times int, ops ...redlock.Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.says, b.applies, b.times, b.to = a, apply, times, ops
}

// leaves reports whether a native command is left to the script, which is to be answered badly.
func (b *badServer) leaves(cmd string, args []string) bool {
	op := redlock.OpAcquire
	switch {
	case cmd == "SET" && slices.Contains(args, "nx"):
	case cmd == "DELEX" && slices.Contains(args, "ifeq"): // in a script it is in capitals
		op = redlock.OpRelease
	default:
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.says != nil && b.times != 0 && (len(b.to) == 0 || slices.Contains(b.to, op))
}

// due returns the bad answer to a command, if there is to be one, and whether
// the command is to be applied.
func (b *badServer) due(op redlock.Op) (a *answer, apply bool) {
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
	if b.leaves(cmd, args) {
		c.WriteError("ERR unknown command '" + cmd + "'")
		return true
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
func opOf(cmd string, args []string) redlock.Op {
	if cmd != "EVALSHA" && cmd != "EVAL" {
		return ""
	}
	for op, scripts := range map[redlock.Op][]*script.Script{
		redlock.OpAcquire: {script.Acquire, script.AcquireGate},
		redlock.OpExtend:  {script.Extend},
		redlock.OpRelease: {script.Release, script.ReleaseGate},
	} {
		for _, s := range scripts {
			found := false
			s.Each(func(sha, source string) { found = found || args[0] == sha || args[0] == source })
			if found {
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

	servers []*rig.Node
	bad     []*badServer
	good    []*rig.Node
	locker  *redlock.Locker
	log     rig.ErrorLog
}

// onBadMajorities runs test for each answer that is a bad one for op, given by
// two of three nodes, and by most of another fleet, which changes from answer to
// answer. So does whether the bad servers do what they are told.
func onBadMajorities(t *testing.T, op redlock.Op, test func(on *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 2}, {1, 1}}, {{5, 3}, {3, 2}}, {{3, 2}, {3, 3}}}, test)
}

// onABadMajority is onBadMajorities with one fleet for each answer.
func onABadMajority(t *testing.T, op redlock.Op, test func(on *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 2}}, {{1, 1}}, {{5, 3}}, {{3, 2}}, {{3, 3}}}, test)
}

// onABadMinority is the same for as many nodes as can be missed.
func onABadMinority(t *testing.T, op redlock.Op, test func(on *badRig)) {
	t.Helper()
	onBadFleets(t, op, [][]badFleet{{{3, 1}}, {{5, 2}}, {{3, 1}}}, test)
}

// refuses reports whether the answer says that the command was not even begun.
func (a *answer) refuses() bool {
	return strings.HasPrefix(a.text, "ERR max number of clients") || slices.Contains([]string{
		"NOSCRIPT", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MISCONF",
		"MOVED", "ASK", "CROSSSLOT", "NOAUTH",
	}, a.kind)
}

// onBadFleets runs test for each answer by each of some fleets, in turns.
func onBadFleets(t *testing.T, op redlock.Op, fleets [][]badFleet, test func(on *badRig)) {
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

func onBadFleet(t *testing.T, a *answer, applies bool, f badFleet, test func(on *badRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		on := newBadRig(t, f)
		on.says, on.applies = a, applies && !a.refuses()
		rig.WarmUp(t, on.locker)
		defer func() {
			if t.Failed() {
				t.Logf("%d of %d nodes were bad, applied: %v", f.bad, f.nodes, on.applies)
			}
		}()
		test(on)
	})
}

func newBadRig(t *testing.T, f badFleet, opts ...redlock.Option) *badRig {
	t.Helper()
	on := &badRig{badFleet: f, t: t, servers: rig.New(t, f.nodes)}
	for _, n := range on.servers[:f.bad] {
		on.bad = append(on.bad, newBadServer(t, n))
	}
	on.good = on.servers[f.bad:]
	on.locker = rig.NewLocker(t, on.servers, append(opts, on.log.Option())...)
	return on
}

// turnBad has the bad servers answer badly to the scripts of these ops, or to
// all that the answer is a bad one for.
func (on *badRig) turnBad(ops ...redlock.Op) {
	if len(ops) == 0 {
		ops = on.says.ops()
	}
	for _, b := range on.bad {
		b.turn(on.says, on.applies, always, ops...)
	}
}

func (on *badRig) turnGood() {
	for _, b := range on.bad {
		b.turn(nil, false, 0)
	}
}

// requireFailed requires that err is what op says of a round that found no
// quorum because of the bad servers.
func (on *badRig) requireFailed(t *testing.T, err error, op, nodeOp redlock.Op) *redlock.LockError {
	t.Helper()
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	require.IsType(t, (*redlock.LockError)(nil), err)
	e := err.(*redlock.LockError) //nolint:errorlint // it was checked
	require.Equal(t, op, e.Op)
	require.Equal(t, []string{"a"}, e.Resources)
	require.Equal(t, "no_quorum", e.ErrorType())
	require.Equal(t, quorum.Size(on.nodes), e.Quorum)
	require.Less(t, e.Agreed, e.Quorum)
	last := -1
	for _, n := range e.Nodes {
		require.Greater(t, n.Node, last, "in node order, each once")
		require.ErrorContains(t, err, n.Err.Error())
		last = n.Node
		want := on.says.kind
		if on.says.silent() {
			want = "no_answer"
		} else {
			require.ErrorContains(t, n, on.says.text)
		}
		on.requireBad(t, n, nodeOp, want)
	}
	require.Greater(t, len(e.Nodes), quorum.Spare(on.nodes), "fewer failures would not have decided it")
	return e
}

// requireBad requires that n names a bad server and what is wrong with it.
func (on *badRig) requireBad(t *testing.T, n *redlock.NodeError, op redlock.Op, kind string) {
	t.Helper()
	require.LessOrEqual(t, n.Node, on.badFleet.bad, "a healthy node")
	require.Equal(t, on.servers[n.Node-1].Client.Options().Addr, n.Addr)
	require.Equal(t, op, n.Op)
	require.Equal(t, kind, n.ErrorType(), "%v", n)
	require.ErrorContains(t, n, n.Addr)
	rig.RequireNoOtherKind(t, n)
}

// requireHeard requires that the handler has heard of that many commands of each
// op from each bad server, and of nothing else, and forgets them.
func (on *badRig) requireHeard(t *testing.T, times heard) {
	t.Helper()
	want, got := map[string]int{}, map[string]int{}
	for i := range on.bad {
		for op, n := range times {
			if slices.Contains(on.says.ops(), op) {
				want[fmt.Sprintf("%s by %d", op, i)] = n
			}
		}
	}
	for _, n := range on.log.Take(0) {
		on.requireBad(t, n, n.Op, on.kindOf(n))
		got[fmt.Sprintf("%s by %d", n.Op, n.Node-1)]++
	}
	require.Equal(t, want, got)
}

// kindOf returns the type that a node error that the handler hears of is to have. A
// server that does not end its answer is told of when a call gives it up, or else when
// the client does.
func (on *badRig) kindOf(n *redlock.NodeError) string {
	if on.says.silent() && n.ErrorType() != on.says.kind {
		return "no_answer"
	}
	return on.says.kind
}

// settle waits, in no time, until the slowest client has given up.
func (on *badRig) settle(t *testing.T) {
	t.Helper()
	for seam.OpenCalls(on.locker) > 0 {
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

// shutdown ends the Locker, which waits for all that is under way.
func (on *badRig) shutdown(t *testing.T) {
	t.Helper()
	assert.NoError(t, on.locker.Shutdown(t.Context()))
}
