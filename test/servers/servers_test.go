package servers_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/test/servers"
)

const (
	patience = 30 * time.Second
	interval = 5 * time.Millisecond

	// envOrphan tells TestServerDiesWithItsTestBinary that it runs in the
	// binary that will be killed.
	envOrphan = "REDISTEST_ORPHAN"
)

func TestMain(m *testing.M) {
	servers.Silence()
	if os.Getenv(envOrphan) != "" {
		os.Exit(m.Run()) // it never ends by itself, so it has nothing to check
	}
	goleak.VerifyTestMain(m)
}

func TestStartGivesServersThatShareNothing(t *testing.T) {
	t.Parallel()
	servers := servers.Start(t, 3)
	require.Len(t, servers, 3)
	for i, s := range servers {
		require.NoError(t, s.Client(t).Set(t.Context(), "k", i, 0).Err())
	}
	for i, s := range servers {
		require.Equal(t, strconv.Itoa(i), s.Client(t).Get(t.Context(), "k").Val())
	}
}

func TestServersEndWithTheirTest(t *testing.T) {
	t.Parallel()
	var addr string
	t.Run("test", func(t *testing.T) {
		s := servers.StartOne(t)
		addr = s.Addr()
		s.Freeze() // cleanup must cope with a frozen server too
	})
	require.False(t, listens(t, addr))
}

func TestFrozenServerAnswersOnlyWhenThawed(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t)
	c := s.Client(t)
	require.NoError(t, c.Ping(t.Context()).Err())

	s.Freeze()
	s.Freeze() // has nothing left to do
	answer := make(chan error, 1)
	go func() { answer <- s.Client(t, withoutTimeout).Set(context.Background(), "k", "v", 0).Err() }()
	select {
	case err := <-answer:
		require.Fail(t, "a frozen server answered", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}

	s.Thaw()
	s.Thaw()
	require.NoError(t, <-answer)
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())
}

func TestKilledServerRefusesConnections(t *testing.T) {
	t.Parallel()
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("frozen=%v", frozen), func(t *testing.T) {
			t.Parallel()
			s := servers.StartOne(t)
			if frozen {
				s.Freeze()
			}
			s.Kill()
			s.Kill() // has nothing left to do
			require.False(t, listens(t, s.Addr()))
		})
	}
}

func TestRestartComesBackEmptyOnTheSameAddress(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t)
	addr := s.Addr()
	c := s.Client(t)
	for _, kill := range []bool{false, true} {
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
		if kill {
			s.Kill()
		}
		s.Restart()
		require.Equal(t, addr, s.Addr())
		requireAnswers(t, c)
		require.Zero(t, c.Exists(t.Context(), "k").Val())
	}
}

func TestRestartOfAFrozenServerThawsIt(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t)
	s.Freeze()
	s.Restart()
	require.NoError(t, s.Client(t).Ping(t.Context()).Err())
}

func TestAppendOnlyServerKeepsItsDataAcrossRestarts(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t, servers.WithAppendOnly())
	c := s.Client(t)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Restart()
	requireAnswers(t, c)
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())
}

func TestArgumentsReachTheServer(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t, servers.WithArgs("--requirepass", "secret", "--maxmemory-policy", "allkeys-lru"))
	require.ErrorContains(t, s.Client(t).Ping(t.Context()).Err(), "NOAUTH")
	c := s.Client(t, func(o *redis.Options) { o.Password = "secret" })
	policy, err := c.ConfigGet(t.Context(), "maxmemory-policy").Result()
	require.NoError(t, err)
	require.Equal(t, "allkeys-lru", policy["maxmemory-policy"])
}

func TestManyServersFindPortsAtOnce(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { t.Run("start", func(t *testing.T) { servers.Start(t, 4) }) })
	}
	wg.Wait()
}

func TestMisuseFailsTheTestWithoutEndingIt(t *testing.T) {
	t.Parallel()
	servers.Program(t) // a skip would end f
	f := &fakeTB{TB: t}
	s := servers.StartOne(f)
	s.Kill()
	s.Freeze()
	s.Thaw()
	require.Equal(t, []string{
		"servers: Freeze: the server is not running",
		"servers: Thaw: the server is not running",
	}, f.errors)
}

func TestServerThatCannotStartFailsTheTestWithItsLog(t *testing.T) {
	t.Parallel()
	servers.Program(t)
	f := &fakeTB{TB: t}
	f.run(func() { servers.StartOne(f, servers.WithArgs("--no-such-option", "1")) })
	require.Contains(t, f.fatal, "no-such-option")
}

func TestTestsWithoutAServerSkipUnlessOneIsRequired(t *testing.T) {
	t.Setenv("REDLOCK_SERVER", "no-such-redis-server")

	t.Setenv("REDLOCK_REQUIRE_REDIS", "")
	f := &fakeTB{TB: t}
	f.run(func() { servers.StartOne(f) })
	require.Equal(t, "needs redis-server: install it or run make setup", f.skip)
	require.Empty(t, f.fatal)

	t.Setenv("REDLOCK_REQUIRE_REDIS", "1")
	f = &fakeTB{TB: t}
	f.run(func() { servers.StartOne(f) })
	require.Contains(t, f.fatal, "needs redis-server")
	require.Empty(t, f.skip)
}

// requireAnswers waits until c has got rid of the connections to the server's
// last life.
func requireAnswers(t *testing.T, c *redis.Client) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() == nil }, patience, interval)
}

// listens reports whether somebody listens on addr.
func listens(t *testing.T, addr string) bool {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	require.NoError(t, conn.Close())
	return true
}

func withoutTimeout(o *redis.Options) {
	o.ReadTimeout = -1
	o.DialTimeout = patience
}

// A fakeTB records how a test would have ended instead of ending it.
type fakeTB struct {
	testing.TB

	errors      []string
	fatal, skip string
}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *fakeTB) Skip(args ...any) {
	f.skip = fmt.Sprint(args...)
	runtime.Goexit()
}

// run runs fn on a goroutine of its own, which Fatalf and Skip may end.
func (f *fakeTB) run(fn func()) {
	var wg sync.WaitGroup
	wg.Go(fn)
	wg.Wait()
}
