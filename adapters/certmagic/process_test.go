package certmagiclock_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	certmagiclock "github.com/b0401464/redlock/adapters/certmagic"
	"github.com/b0401464/redlock/test/rig"
)

const (
	envInstance = "REDLOCK_CERTMAGIC_INSTANCE" // the directory of its files

	processTTL = 5 * time.Second
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envInstance); dir != "" {
		if err := beInstance(dir, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	rig.MainVirtual(m)
}

// A telling storage prints when it is about to lock.
type telling struct{ *certmagiclock.Storage }

func (s telling) Lock(ctx context.Context, name string) error {
	fmt.Println("locks")
	return s.Storage.Lock(ctx, name)
}

// beInstance is a process that obtains a certificate once it is told to, and says so
// before its issuer waits to be told, too.
func beInstance(dir string, addrs []string) error {
	told := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			told <- struct{}{}
		}
		os.Exit(1) // the test has ended
	}()
	var clients []*redis.Client
	for _, addr := range addrs {
		clients = append(clients, redis.NewClient(&redis.Options{Addr: addr}))
	}
	locker, err := redlock.New(clients, redlock.WithNodeTimeout(rig.NodeTimeout))
	if err != nil {
		return err
	}
	storage, err := certmagiclock.NewStorage(&certmagic.FileStorage{Path: dir}, locker, certmagiclock.WithTTL(processTTL))
	if err != nil {
		return err
	}
	cfg, stop := newConfig(telling{storage}, func(context.Context) error {
		fmt.Println("issues")
		<-told
		return nil
	})
	defer stop()
	fmt.Println("ready")
	<-told
	if err := cfg.ObtainCertSync(context.Background(), domain); err != nil {
		return err
	}
	if err := locker.Shutdown(context.Background()); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// An instance is a process of certmagic.
type instance struct {
	cmd   *exec.Cmd
	tell  func()
	lines chan string // what it prints; closed when it has ended
}

func startInstance(t *testing.T, dir string, on *rig.Real) *instance {
	t.Helper()
	var addrs []string
	for _, s := range on.Servers {
		addrs = append(addrs, s.Addr())
	}
	p := &instance{cmd: exec.CommandContext(t.Context(), os.Args[0], addrs...), lines: make(chan string, 10)} //nolint:gosec // itself
	p.cmd.Env = append(os.Environ(), envInstance+"="+dir, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-read
		_ = p.cmd.Wait()
	})
	p.tell = func() {
		_, err := fmt.Fprintln(in)
		assert.NoError(t, err)
	}
	return p
}

// requireSays requires that the instance says this next.
func (p *instance) requireSays(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.lines:
		require.Equal(t, want, got)
	case <-time.After(rig.Patience):
		require.Fail(t, "the instance does not say: "+want)
	}
}

// requireIssuer lets instances obtain a certificate at the same moment, and returns the
// one that issues it while the others wait, and them.
func requireIssuer(t *testing.T, on *rig.Real, all ...*instance) (issuer *instance, others []*instance) {
	t.Helper()
	for _, p := range all {
		p.requireSays(t, "ready")
	}
	for _, p := range all {
		p.tell()
	}
	for _, p := range all {
		p.requireSays(t, "locks")
	}
	require.True(t, rig.Poll(rig.Patience, func() bool {
		return slices.ContainsFunc(all, func(p *instance) bool { return len(p.lines) > 0 })
	}), "nobody issues")
	i := slices.IndexFunc(all, func(p *instance) bool { return len(p.lines) > 0 })
	all[i].requireSays(t, "issues")
	// Gives a second one the time for what it must not do, and mostly until it waits in line.
	rig.Poll(processTTL, func() bool { return on.Waiting(t, key) > 0 })
	others = slices.Delete(slices.Clone(all), i, i+1)
	requireSilent(t, others)
	return all[i], others
}

func requireSilent(t *testing.T, all []*instance) {
	t.Helper()
	for _, p := range all {
		require.Empty(t, p.lines, "two at a time issue a certificate")
	}
}

func TestTwoProcessesObtainACertificateOnce(t *testing.T) {
	t.Parallel()
	on, dir := rig.NewReal(t, 3), t.TempDir()
	one, others := requireIssuer(t, on, startInstance(t, dir, on), startInstance(t, dir, on))
	time.Sleep(2 * processTTL) // it needs its lock for longer than a TTL
	requireSilent(t, others)
	one.tell()
	one.requireSays(t, "done")
	others[0].requireSays(t, "done") // and not that it issues
	on.RequireEmpty(t, rig.Patience)
}

func TestAProcessTakesOverFromOneThatIsKilledAfterOneTTL(t *testing.T) {
	t.Parallel()
	on, dir := rig.NewReal(t, 3), t.TempDir()
	one, others := requireIssuer(t, on, startInstance(t, dir, on), startInstance(t, dir, on))
	require.NoError(t, one.cmd.Process.Kill())
	_, running := <-one.lines // closed: it has ended, and extends nothing
	require.False(t, running)

	began := time.Now()
	var left []time.Duration
	for i := range on.Servers {
		left = append(left, on.PTTL(t, i, key))
	}
	slices.Sort(left)
	assert.LessOrEqual(t, left[2], processTTL)
	others[0].requireSays(t, "issues")
	took := time.Since(began)
	assert.GreaterOrEqual(t, took, left[1], "a majority still had the lock of the one that was killed")
	t.Logf("%v after it was killed, when a majority had its lock for %v more", took, left[1])
	others[0].tell()
	others[0].requireSays(t, "done")
	on.RequireEmpty(t, rig.Patience)
}
