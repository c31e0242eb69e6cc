package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	silence()
	_ = flag.Set("test.parallel", "6") // they mostly wait
	goleak.VerifyTestMain(m)
}

// quickstart runs the program and returns its exit code and what it wrote.
func quickstart(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs, func(string) string { return "" })
	return code, out.String(), errs.String()
}

// realNodes returns the addresses of n servers that the program did not start.
func realNodes(t *testing.T, n int, prepare func(*miniredis.Miniredis)) string {
	t.Helper()
	var addrs []string
	for range n {
		m := miniredis.RunT(t)
		m.ClockTTL(true)
		if prepare != nil {
			prepare(m)
		}
		addrs = append(addrs, m.Addr())
	}
	return strings.Join(addrs, ",")
}

func TestEmbeddedRunHasNoOverlapsAndEndsWithASummary(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := quickstart(t.Context(), "-for", "4s", "-ttl", "8s", "-workers", "4")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	assert.True(t, strings.HasPrefix(stdout, `4 workers, one lock "redlock:quickstart" with a TTL of 8s, 3 embedded nodes`+"\n\n"), stdout)
	for _, line := range []string{
		`\d\.\d{3}s  worker \d holds it \(waited `,
		`\d\.\d{3}s  worker \d extends it by hand: 8s more from now on\n`,
		`\d\.\d{3}s  node 2 \(127\.0\.0\.1:\d+\) frozen: it does not answer any more\n`,
		`\d\.\d{3}s  node 2 \(127\.0\.0\.1:\d+\) answers again\n`,
		`\d\.\d{3}s  node 3 \(127\.0\.0\.1:\d+\) stopped: a majority is left\n`,
		`\nturns             [1-9]\d* in \d+\.\ds\n`,
		`\noverlaps          0\n`,
		`\nlongest wait      \d.* \(worker \d\)\n`,
		`\nnode errors seen  [1-9]\d*\n`,
		`\n  node 3 \(127\.0\.0\.1:\d+\): [1-9]\d*, the last one: `,
		`\n[1-9]\d* turns?, never two at once\.\n` +
			`No worker crashed: its lock would have kept the others out for 8s, much of this run\.\n` +
			`Node 2 was frozen at \d\.\d s[^;]* before it was back[^;]*; node 3 was stopped at \d\.\d s, and \d+ turns? followed\.\n$`,
	} {
		assert.Regexp(t, line, stdout)
	}
	assert.NotContains(t, stdout, "\x1b", "plain lines have no control sequences")
	assert.NotContains(t, stdout, "fails:", "the errors of a node that was stopped are no news")
}

func TestRunOnRealNodesStopsNone(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := quickstart(t.Context(), "-for", "1s", "-ttl", "8s", "-addrs", realNodes(t, 3, nil))
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	assert.Contains(t, stdout, "the nodes are yours: none will be stopped")
	assert.NotContains(t, stdout, "a majority is left")
	assert.Regexp(t, `\noverlaps          0\n`, stdout)
	assert.Contains(t, stdout, "\nThe nodes are yours: none was frozen or stopped.\n")
}

func TestAWorkerCrashesAndItsLockRunsOut(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := quickstart(t.Context(), "-for", "8s", "-ttl", "1s", "-workers", "3", "-addrs", realNodes(t, 1, nil))
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	m := regexp.MustCompile(`\nWorker (\d) crashed at (\d\.\d) s and released nothing; ` +
		`its lock ran out by its TTL of 1s, and worker (\d) had it at (\d\.\d) s\.\n`).FindStringSubmatch(stdout)
	require.Len(t, m, 5, stdout)
	crashed, next := m[1], m[3]
	assert.NotEqual(t, crashed, next)
	events, rest, found := strings.Cut(stdout, "worker "+crashed+" crashes with the lock: it ends by its TTL of 1s\n")
	require.True(t, found, stdout)
	assert.Contains(t, events, "worker "+crashed+" holds it")
	assert.NotContains(t, rest, "worker "+crashed+" holds it", "it is gone")
	assert.Regexp(t, `^ +\d\.\d{3}s  (worker `+next+` holds it|node)`, rest)
	at := regexp.MustCompile(`(\d\.\d{3})s  worker \d holds it`)
	took, got := at.FindAllStringSubmatch(events, -1), at.FindStringSubmatch(rest)
	from, err := strconv.ParseFloat(took[len(took)-1][1], 64)
	require.NoError(t, err)
	to, err := strconv.ParseFloat(got[1], 64)
	require.NoError(t, err)
	assert.Greater(t, to-from, 0.5, "its lock kept the others out for a TTL, counted from a moment before the first of these")
	assert.NotContains(t, stdout, "worker "+crashed+" could not release", "nobody is there to tell so")
}

func TestMinorityThatIsDownFromTheStartIsReportedAndTolerated(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := quickstart(t.Context(), "-for", "2s", "-ttl", "8s", "-addrs", realNodes(t, 2, nil)+","+closedPort(t))
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	assert.Regexp(t, `node 3 \(127\.0\.0\.1:\d+\) fails: `, stdout)
	assert.Regexp(t, `\nturns             [1-9]`, stdout)
}

func TestOverlapExitsWithOne(t *testing.T) {
	t.Parallel()
	forgetful := realNodes(t, 1, func(m *miniredis.Miniredis) {
		m.Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
			if strings.HasPrefix(cmd, "EVAL") {
				m.FlushAll() // whatever was locked is not any more
			}
			return false
		})
	})
	code, stdout, stderr := quickstart(t.Context(), "-for", "2s", "-ttl", "8s", "-addrs", forgetful)
	assert.Equal(t, exitOverlap, code)
	assert.Empty(t, stderr)
	assert.Regexp(t, `OVERLAP: worker \d and worker \d are in their sections`, stdout)
	assert.Regexp(t, `\noverlaps          [1-9]`, stdout)
	assert.Regexp(t, `\n\d+ turns, and \d+ times? two workers had the lock at once!\n`, stdout)
}

// cancelling cancels a run as soon as it has written a text.
type cancelling struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (c *cancelling) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

func TestInterruptedRunStillEndsWithASummary(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := cancelling{text: "holds it", cancel: cancel}
	var errs bytes.Buffer
	code := run(ctx, []string{"-for", "1h"}, &out, &errs, os.Getenv)
	assert.Equal(t, exitOK, code)
	assert.Empty(t, errs.String())
	assert.Regexp(t, `\nturns             [1-9]`, out.String())
}

func TestInterruptBeforeTheBeginningIsOneLine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr := quickstart(ctx)
	assert.Equal(t, exitUsage, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "quickstart: interrupted before it began\n", stderr)
}

func TestWhatCannotBeginIsOneClearLine(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"-worker", "3"}, `not defined: -worker`},
		{"not a number", []string{"-workers", "many"}, `invalid value "many" for flag -workers`},
		{"not a duration", []string{"-for", "10"}, `invalid value "10" for flag -for`},
		{"extra argument", []string{"-for", "1s", "please"}, `unexpected argument "please"`},
		{"no workers", []string{"-workers", "0"}, `-workers 0: want 1 to 99`},
		{"negative workers", []string{"-workers", "-3"}, `-workers -3: want 1 to 99`},
		{"too many workers", []string{"-workers", "100"}, `-workers 100: want 1 to 99`},
		{"no time", []string{"-for", "0s"}, `-for 0s: want a positive duration`},
		{"negative time", []string{"-for", "-1s"}, `-for -1s: want a positive duration`},
		{"no ttl", []string{"-ttl", "0s"}, `-ttl: redlock: invalid argument: ttl 0s: want at least 1ms`},
		{"ttl within its drift", []string{"-ttl", "2ms"}, `-ttl: redlock: invalid argument: ttl 2ms: want more than its drift of 2ms`},
		{"no address", []string{"-addrs", ""}, `empty address`},
		{"empty address", []string{"-addrs", "127.0.0.1:1,,127.0.0.1:2"}, `empty address`},
		{"address without port", []string{"-addrs", "localhost"}, `address localhost: missing port`},
		{"address with an empty port", []string{"-addrs", "localhost:"}, `address localhost:: missing port`},
		{"same address twice", []string{"-addrs", "127.0.0.1:1,127.0.0.1:1"}, `-addrs: .*same node \(127\.0\.0\.1:1\): it would vote twice`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := quickstart(t.Context(), test.args...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, stdout)
			assert.Regexp(t, `^quickstart: [^\n]*`+test.want+`[^\n]*\n$`, stderr)
		})
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	code, stdout, stderr := quickstart(t.Context(), "-h")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	for _, name := range []string{"-addrs", "-for", "-ttl", "-workers"} {
		assert.Contains(t, stdout, "\n  "+name+" ")
	}
}

func TestUnreachableMajorityIsOneLineThatTellsEachReason(t *testing.T) {
	t.Parallel()
	alive, dead, deadToo := realNodes(t, 1, nil), closedPort(t), closedPort(t)
	code, stdout, stderr := quickstart(t.Context(), "-addrs", alive+","+dead+","+deadToo)
	assert.Equal(t, exitUsage, code)
	assert.Empty(t, stdout)
	assert.Regexp(t, `^quickstart: too few nodes answer, 2 of 3 are needed: `+
		`node 2 \(`+regexp.QuoteMeta(dead)+`\): .+; node 3 \(`+regexp.QuoteMeta(deadToo)+`\): .+\n$`, stderr)
}

var closed struct {
	sync.Mutex
	seen map[string]bool
}

// closedPort returns an address where nobody listens, another one each time.
func closedPort(t *testing.T) string {
	t.Helper()
	closed.Lock()
	defer closed.Unlock()
	for {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		if addr := l.Addr().String(); !closed.seen[addr] {
			if closed.seen == nil {
				closed.seen = make(map[string]bool)
			}
			closed.seen[addr] = true
			return addr
		}
	}
}
