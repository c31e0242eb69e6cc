package leader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

const (
	name   = "scheduler"
	ttl    = 2 * time.Second
	rounds = 3 // how often a leader is stopped

	envOwner = "REDLOCK_TEST_LEADER"       // who the process is
	envNodes = "REDLOCK_TEST_LEADER_NODES" // the addresses of its nodes, and then of the resource
)

// write is a write to the resource: a list of all writes that were tried, and whether they
// were let through. One is refused whose token is smaller than one that was let through.
var write = redis.NewScript(`
-- KEYS[1] writes; KEYS[2] the largest token; ARGV[1] token; ARGV[2] owner; returns 1, or 0 if refused.
local pass = tonumber(ARGV[1]) >= tonumber(redis.call("GET", KEYS[2]) or 0)
if pass then redis.call("SET", KEYS[2], ARGV[1]) end
redis.call("RPUSH", KEYS[1], ARGV[1] .. " " .. ARGV[2] .. " " .. tostring(pass))
return pass and 1 or 0
`)

// errRefused is why a process gives up a term.
var errRefused = errors.New("refused: another one leads")

// stand is a process that runs for the lead, and writes for as long as it leads. It looks at
// the context of its term only when a write was refused: nobody could be worse at it.
func stand(t *testing.T, owner string) {
	t.Helper()
	ctx, cancel := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer cancel()
	var clients []*redis.Client
	for addr := range strings.SplitSeq(os.Getenv(envNodes), ",") {
		c := redis.NewClient(&redis.Options{Addr: addr})
		defer func() { _ = c.Close() }()
		clients = append(clients, c)
	}
	nodes, resource := clients[:3], clients[3]
	locker := rig.NewRealLocker(t, nodes, redlock.WithOwner(owner))
	err := leader.Run(ctx, locker, name, ttl, func(term context.Context, at leader.Term) error {
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			pass, err := write.Run(context.WithoutCancel(term), resource, []string{"writes", "largest"}, at.Token, owner).Int()
			if err != nil || pass == 1 {
				continue // an error may be that the process was stopped for too long
			}
			assert.Error(t, term.Err(), "nobody else leads before the term has ended")
			assert.ErrorIs(t, context.Cause(term), redlock.ErrLockLost)
			return errRefused
		}
		return nil
	}, leader.WithErrorHandler(func(err error) {
		assert.ErrorIs(t, err, errRefused)
		assert.ErrorIs(t, err, redlock.ErrLockLost)
	}))
	if !errors.Is(err, context.Canceled) && !errors.Is(err, errRefused) { // which it may be when it is told to end
		require.NoError(t, err)
	}
	rig.Drain(t, locker)
}

// An attempt is a write that was tried.
type attempt struct {
	token int64
	owner string
	pass  bool
}

// attempts returns all of them, in their order.
func attempts(t *testing.T, resource *redis.Client) (all []attempt) {
	t.Helper()
	lines, err := resource.LRange(t.Context(), "writes", 0, -1).Result()
	require.NoError(t, err)
	for _, line := range lines {
		var a attempt
		_, err := fmt.Sscan(line, &a.token, &a.owner, &a.pass)
		require.NoError(t, err)
		all = append(all, a)
	}
	return all
}

// await returns the first attempt that is one, once there is one.
func await(t *testing.T, resource *redis.Client, what string, is func(a attempt) bool) (found attempt) {
	t.Helper()
	require.True(t, rig.Poll(rig.Patience, func() bool {
		for _, a := range attempts(t, resource) {
			if is(a) {
				found = a
				return true
			}
		}
		return false
	}), what)
	return found
}

// start starts a process that stands, and ends it when the test does.
func start(t *testing.T, owner, nodes string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), envOwner+"="+owner, envNodes+"="+nodes)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", owner, &out)
		}
	})
	return cmd
}

func TestWritesOfALeaderThatWasStoppedAreRefusedOnceAnotherOneLeads(t *testing.T) {
	if owner := os.Getenv(envOwner); owner != "" {
		stand(t, owner)
		return
	}
	runtime.LockOSThread() // the kernel kills the processes when the thread that started them ends
	defer runtime.UnlockOSThread()
	on, server := rig.NewReal(t, 3), servers.StartOne(t)
	resource := server.Client(t)
	var addrs []string
	for _, s := range append(on.Servers, server) {
		addrs = append(addrs, s.Addr())
	}
	processes := make(map[string]*exec.Cmd)
	for _, owner := range []string{"a", "b"} {
		processes[owner] = start(t, owner, strings.Join(addrs, ","))
	}
	inspector := on.Other(t)

	leads := await(t, resource, "nobody leads", func(a attempt) bool { return a.pass })
	for range rounds {
		old, stopped := leads, processes[leads.owner].Process
		require.NoError(t, stopped.Signal(syscall.SIGSTOP))
		leads = await(t, resource, "nobody takes over", func(a attempt) bool { return a.pass && a.token > old.token })
		require.NotEqual(t, old.owner, leads.owner, "it was stopped")
		rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
			holder, err := leader.Current(t.Context(), inspector, name)
			assert.NoError(c, err)
			assert.Equal(c, leads.owner, holder.Owner)
		})
		require.NoError(t, stopped.Signal(syscall.SIGCONT))
		await(t, resource, "it does not go on", func(a attempt) bool { return a == attempt{old.token, old.owner, false} })
	}
	for _, p := range processes {
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait(), "a process has failed")
	}
	checkAttempts(t, attempts(t, resource))
}

// checkAttempts checks the order of the writes that were let through, and that each
// token was one process'.
func checkAttempts(t *testing.T, all []attempt) {
	t.Helper()
	last, refused := attempt{}, 0
	owners := make(map[int64]string)
	for _, a := range all {
		if owner, known := owners[a.token]; known {
			require.Equal(t, owner, a.owner, "of token %d", a.token)
		}
		owners[a.token] = a.owner
		if !a.pass {
			require.Less(t, a.token, last.token)
			refused++
			continue
		}
		require.GreaterOrEqual(t, a.token, last.token, "a write of an earlier term was let through")
		last = a
	}
	assert.GreaterOrEqual(t, refused, rounds, "a leader that was stopped did not write")
	t.Logf("%d writes in %d terms, %d refused", len(all), len(owners), refused)
}
