package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program runs the program and returns its exit code and what it wrote.
func program(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// requireBothOutcomes demands that the update is lost without tokens, and not lost
// with them.
func requireBothOutcomes(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := program(t.Context(), args...)
	require.Equal(t, exitOK, code, stderr)
	require.Empty(t, stderr)
	plain, fenced, found := strings.Cut(stdout, "\nWith tokens\n")
	require.True(t, found, stdout)
	const event = `(?s)\d\.\d{3}s  `
	assert.Regexp(t, event+`writer 2 writes 130\n.*writer 1 writes 150\n.*is told .*too late\nThe balance is 150: what writer 2 added is lost`, plain)
	assert.NotContains(t, plain, "with token")
	assert.Regexp(t, event+`writer 1 has the lock with token [1-9]\d*, and reads 100\n.*paused.*writer 2 writes 130\n.*`+
		`writer 1 cannot write 150: UPDATE … AND fence <= \d+ changes no row\n.*reads 130\n.*writer 1 writes 180\nThe balance is 180: nothing is lost`, fenced)
	return stdout
}

func TestAnUpdateIsLostWithoutTokensAndNotWithThem(t *testing.T) {
	stdout := requireBothOutcomes(t, "-ttl", "3s")
	assert.Contains(t, stdout, "SQLite, in memory")
	assert.Contains(t, stdout, "TTL of 3s on 3 embedded Redis nodes")
}

func TestItRunsOnOtherNodesAndLeavesNothingButCountersThere(t *testing.T) {
	var addrs []string
	var servers []*miniredis.Miniredis
	for range 3 {
		m := miniredis.RunT(t)
		m.ClockTTL(true)
		servers, addrs = append(servers, m), append(addrs, m.Addr())
	}
	stdout := requireBothOutcomes(t, "-addrs", strings.Join(addrs, ","), "-ttl", "3s")
	assert.Contains(t, stdout, "on the Redis nodes "+addrs[0])
	for _, m := range servers {
		for _, key := range m.Keys() {
			assert.Regexp(t, `:redlock:token$`, key)
			assert.LessOrEqual(t, m.TTL(key), keep)
			assert.Positive(t, m.TTL(key))
		}
	}
}

// TestPostgreSQL takes a database of yours: REDLOCK_POSTGRES=postgres://….
func TestPostgreSQL(t *testing.T) {
	dsn := os.Getenv("REDLOCK_POSTGRES")
	if dsn == "" {
		t.Skip("REDLOCK_POSTGRES does not name a database")
	}
	assert.Contains(t, requireBothOutcomes(t, "-dsn", dsn), "a balance in PostgreSQL,")
}

func TestWhatCannotBeginSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"an argument too much", []string{"more"}, `unexpected argument "more"`},
		{"an address without a port", []string{"-addrs", "localhost"}, "missing port"},
		{"the same node twice", []string{"-addrs", "127.0.0.1:1,127.0.0.1:1"}, "-addrs: redlock: invalid argument"},
		{"no database", []string{"-dsn", "postgres://127.0.0.1:1/none"}, "-dsn: "},
		{"what is no DSN", []string{"-dsn", "::"}, "-dsn: "},
		{"a TTL that is none", []string{"-ttl", "10ns"}, "want at least 1ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := program(t.Context(), tt.args...)
			assert.Equal(t, exitError, code)
			assert.Contains(t, stderr, tt.want)
		})
	}
	code, _, stderr := program(t.Context(), "-h")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, stderr, "-dsn URL")
}

func TestAnInterruptEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := program(ctx)
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "context canceled")
}
