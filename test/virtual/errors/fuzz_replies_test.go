package errors_test

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A replySpy is a client that notes what became of its commands.
type replySpy struct {
	*redis.Client
	mu   sync.Mutex
	said []reply
}

// A reply is what go-redis made of a node's answer.
type reply struct {
	val any
	err error
}

func (s *replySpy) Process(ctx context.Context, cmd redis.Cmder) error {
	err := s.Client.Process(ctx, cmd)
	said := reply{err: err}
	if c, ok := cmd.(interface{ Val() any }); ok && err == nil {
		said.val = c.Val()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, said)
	return err
}

// take returns the replies so far, without those that only say that the node
// does not know the script, which is sent to it then, and forgets them.
func (s *replySpy) take() []reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []reply
	for i := 0; i < len(s.said); i++ {
		if redis.HasErrorPrefix(s.said[i].err, "NOSCRIPT") && i+1 < len(s.said) {
			i++
		}
		all = append(all, s.said[i])
	}
	s.said = nil
	return all
}

// tooLarge are lengths that go-redis would make room for before it reads on. It
// panics at longer ones.
var tooLarge = regexp.MustCompile(`[$*%~>|!=]\+?0*[1-9]\d{3,14}(?:\D|$)`)

// FuzzReplies has one node answer a command with whatever it is given.
func FuzzReplies(f *testing.F) {
	for _, a := range badAnswers() {
		for op := range uint8(3) {
			f.Add(op, []byte(a.raw+strings.Repeat(a.drip, 3)))
		}
	}
	for _, raw := range []string{
		":1\r\n", ":+1\r\n", ":01\r\n", ":-1\r\n", ":-2\r\n", refusal, "*2\r\n:-1\r\n+a\r\n", "~2\r\n:1\r\n+a\r\n", "*2\r\n:1\r\n=5\r\ntxt:a\r\n",
		"|1\r\n+ttl\r\n:1\r\n:1\r\n", ">2\r\n+invalidate\r\n*0\r\n:1\r\n", ">0\r\n+00\n", "+\r\n>\n+", "*2\r\n:9223372036855\r\n$1\r\na\r\n", "*2\r\n-LOADING x\r\n:1\r\n",
		"*2\r\n:1\r\n-MOVED 1 a:1\r\n:1\r\n", "!3\r\nERR\r\n", "%1\r\n-ERR x\r\n:1\r\n", "*?\r\n", "$?\r\n;1\r\na\r\n;0\r\n", ",inf\r\n", ",nan\r\n", "#x\r\n",
	} {
		for op := range uint8(3) {
			f.Add(op, []byte(raw))
		}
	}
	f.Fuzz(func(t *testing.T, op uint8, raw []byte) {
		if len(raw) > 1<<11 || tooLarge.Match(raw) {
			return // one packet, and no more memory than there is
		}
		synctest.Test(t, func(t *testing.T) {
			x := newReplyCheck(t, raw)
			[]func(*testing.T){x.acquire, x.extend, x.release}[op%3](t)
		})
	})
}

// A replyCheck compares what is told of a reply with what go-redis read of it.
type replyCheck struct {
	server *badServer
	says   *answer
	spy    *replySpy
	locker *redlock.Locker
	log    rig.ErrorLog
}

func newReplyCheck(t *testing.T, raw []byte) *replyCheck {
	t.Helper()
	n := rig.NewNode(t, 0)
	x := &replyCheck{
		server: newBadServer(t, n), says: &answer{raw: strings.ReplaceAll(string(raw), "{value}", "")},
		spy: &replySpy{Client: n.Client},
	}
	l, err := redlock.New([]redlock.Client{x.spy}, x.log.Option(), redlock.WithRetry(0, 0))
	require.NoError(t, err)
	x.locker = l
	t.Cleanup(func() { _ = l.Shutdown(context.Background()) })
	rig.WarmUp(t, l)
	x.spy.take()
	return x
}

// lock locks while the server is well.
func (x *replyCheck) lock(t *testing.T) *redlock.Lock {
	t.Helper()
	k := rig.Lock(t, x.locker)
	x.spy.take()
	return k
}

// said returns what the client made of the answers to one command, none if it
// waits for more. After it the server is well.
func (x *replyCheck) said() []reply {
	synctest.Wait()
	said := x.spy.take()
	x.server.turn(nil, false, 0)
	return said
}

func (x *replyCheck) acquire(t *testing.T) {
	t.Helper()
	x.server.turn(x.says, false, always, redlock.OpAcquire)
	k, err := x.locker.TryLock(t.Context(), "a", rig.TTL)
	said := x.said()
	heard := 0
	switch {
	case len(said) > 0 && said[0].is(1):
		require.NoError(t, err)
		require.True(t, k.Valid())
		_ = k.Unlock(t.Context()) // the server had it never
	case len(said) > 0 && said[0].isRefusal():
		rig.RequireNoOtherKind(t, err, redlock.ErrContended)
		require.ErrorIs(t, err, redlock.ErrContended)
	default:
		rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
		heard = x.requireNamed(t, err, redlock.OpLock, redlock.OpAcquire, len(said) == 0)
	}
	x.finish(t, redlock.OpAcquire, heard)
}

func (x *replyCheck) extend(t *testing.T) {
	t.Helper()
	k := x.lock(t)
	until := k.Until()
	x.server.turn(x.says, true, always, redlock.OpExtend)
	time.Sleep(time.Second)
	err := k.Extend(t.Context(), rig.TTL)
	said := x.said()
	heard := 0
	switch {
	case len(said) > 0 && said[0].is(1):
		require.NoError(t, err)
		require.Equal(t, until.Add(time.Second), k.Until())
	case len(said) > 0 && (said[0].is(-1) || said[0].is(-2)):
		rig.RequireNoOtherKind(t, err, redlock.ErrLockLost)
		require.False(t, k.Valid())
	default:
		heard = x.requireNamed(t, err, redlock.OpExtend, redlock.OpExtend, len(said) == 0)
		require.True(t, k.Valid())
		require.Equal(t, until, k.Until())
	}
	_ = k.Unlock(t.Context())
	x.finish(t, redlock.OpExtend, heard)
}

func (x *replyCheck) release(t *testing.T) {
	t.Helper()
	k := x.lock(t)
	x.server.turn(x.says, true, always, redlock.OpRelease)
	err := k.Unlock(t.Context())
	said := x.said()
	again := len(said) > 1 // sent once more
	var last reply
	if len(said) > 0 {
		last = said[len(said)-1]
	}
	heard := 0
	switch {
	case last.is(1), last.is(-1) && again:
		require.NoError(t, err)
	case last.is(-1):
		rig.RequireNoOtherKind(t, err, redlock.ErrLockLost)
	default:
		heard = x.requireNamed(t, err, redlock.OpUnlock, redlock.OpRelease, len(said) == 0)
	}
	x.finish(t, redlock.OpRelease, heard)
}

// anyNumber is that of failures where the client waits in vain for the rest of
// an answer, and asks once more when the server is well.
const anyNumber = -1

// requireNamed demands that err names the node and what it said. It returns of
// how many failures the handler is to hear.
func (x *replyCheck) requireNamed(t *testing.T, err error, op, nodeOp redlock.Op, silent bool) (heard int) {
	t.Helper()
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.IsType(t, (*redlock.LockError)(nil), err)
	e := err.(*redlock.LockError) //nolint:errorlint // it was checked
	require.Equal(t, op, e.Op)
	require.Equal(t, "no_quorum", e.ErrorType())
	require.Len(t, e.Nodes, 1)
	require.Equal(t, nodeOp, e.Nodes[0].Op)
	if silent {
		require.Equal(t, "no_answer", e.Nodes[0].ErrorType())
		return anyNumber
	}
	return 1
}

// finish demands that nothing is left, and that the handler has heard of as
// many failures of op. What follows the answer may be taken for one to the next
// command.
func (x *replyCheck) finish(t *testing.T, op redlock.Op, failures int) {
	t.Helper()
	require.NoError(t, x.locker.Shutdown(t.Context()))
	rig.RequireFree(t, x.server.Node)
	heard := 0
	for _, n := range x.log.Take(0) {
		require.Equal(t, x.spy.Options().Addr, n.Addr)
		require.Equal(t, 1, n.Node)
		require.NotEmpty(t, n.ErrorType())
		rig.RequireNoOtherKind(t, n)
		if n.Op == op {
			heard++
		}
	}
	if failures != anyNumber {
		require.Equal(t, failures, heard)
	}
}

func (r reply) is(n int64) bool { return r.err == nil && r.val == n }

func (r reply) isRefusal() bool {
	fields, _ := r.val.([]any)
	if r.err != nil || len(fields) != 2 {
		return false
	}
	_, left := fields[0].(int64)
	_, mark := fields[1].(string)
	return left && mark
}
