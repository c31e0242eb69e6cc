//go:build linux

package main_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, servers.Start(t, 3, servers.WithAppendOnly()))
	// They are fit once they have been up for the TTL.
	var a *tool
	eventually(t, func() bool {
		a = w.run("doctor", "--ttl", "2s")
		return a.code() == 0
	}, "they are not fit")
	assert.Empty(t, a.err.String())
	for _, s := range w.servers {
		assert.Contains(t, a.out.String(), s.Addr())
	}
	assert.Empty(t, w.keys())

	require.NoError(t, w.clients[1].ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	require.NoError(t, w.clients[1].ConfigSet(t.Context(), "maxmemory", "100mb").Err())
	a = w.run("doctor")
	assert.Equal(t, 1, a.code())
	assert.Contains(t, a.out.String(), "evicts")
	var report struct {
		Findings []struct{ Code, Severity string }
	}
	require.NoError(t, json.Unmarshal([]byte(w.run("doctor", "--json").out.String()), &report))
	require.NotEmpty(t, report.Findings)
	assert.Equal(t, "unsafe", report.Findings[0].Severity)

	// Less is found where only the strict look.
	two := []string{"doctor", "--ttl", "2s", "--node", w.urls[0], "--node", w.urls[2]}
	eventually(t, func() bool {
		a = w.run(two...)
		return a.code() == 0
	}, "two of them are not fit")
	assert.Contains(t, a.out.String(), "even_nodes")
	assert.Equal(t, 1, w.run(append(two, "--strict")...).code())

	a = w.run("doctor", "--node", "redis://127.0.0.1:1")
	assert.Equal(t, 1, a.code(), "a node that is down is found, too")
	assert.Contains(t, a.out.String(), "unreachable")
	assert.Equal(t, 64, w.run("doctor", "--ttl", "1us").code())
}
