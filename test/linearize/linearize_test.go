//go:build linux

package linearize

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

const (
	envLength = "REDLOCK_LINEARIZE"      // for how long faults happen, a Go duration
	envSeed   = "REDLOCK_LINEARIZE_SEED" // chooses the first history; those after it have the next seeds
)

// historyLength is that of one history, at most: there is at least one on 3 nodes, and one on 5.
const historyLength = 20 * time.Second

func TestMain(m *testing.M) {
	servers.Silence()
	if text := os.Getenv(envWorker); text != "" {
		if err := work(context.Background(), text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// settings returns how long faults are to happen, and the first seed.
func settings(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, seed = 2*historyLength, uint64(rand.Uint32()) //nolint:gosec // nothing secret
	if text := os.Getenv(envLength); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err, envLength)
	}
	if text := os.Getenv(envSeed); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 32)
		require.NoError(t, err, envSeed)
	}
	return length, seed
}

func TestHistoriesOfProcessesOnFailingServersAreThoseOfALock(t *testing.T) {
	length, seed := settings(t)
	each, first := min(historyLength, length/2), seed
	var figures Figures
	for n := 0; time.Duration(n)*each < length && !t.Failed(); n++ {
		nodes := 3 + 2*(n%2)
		t.Run(fmt.Sprintf("%d nodes, seed %d", nodes, seed), func(t *testing.T) { play(t, &figures, nodes, seed, each) })
		if n%2 == 1 {
			seed++
		}
	}
	t.Logf("\n%v", &figures)
	writeResult(t, "histories", &result{
		Seed: first, Length: each.String(),
		Histories: figures.Histories, Refused: figures.Refused, Counts: figures.Counts, Faults: figures.Faults,
	})
}

// play plays a history and has it checked.
func play(t *testing.T, figures *Figures, nodes int, seed uint64, length time.Duration) {
	t.Helper()
	dir, err := os.MkdirTemp("", "linearize-") //nolint:usetesting // kept if the test fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			require.NoError(t, os.RemoveAll(dir))
		}
	})
	h := (&Run{Nodes: nodes, Seed: seed, Length: length, Dir: dir, Streams: streams()}).Play(t)
	figures.Add(h)
	assert.Empty(t, h.neverGranted(resources), "a lock that lets nobody in would pass")
	defer func() {
		if t.Failed() {
			figures.Refused++
		}
	}()
	for _, v := range Check(h) {
		t.Log(v)
		if v.Model == &Models[len(Models)-1] {
			figures.Counts["operations checked"] += v.Operations
		}
		switch v.Result {
		case porcupine.Ok:
		case porcupine.Unknown:
			t.Errorf("%v: not decided in time; what was written down is in %s", v, dir)
		default:
			text, err := v.Keep(h, dir)
			require.NoError(t, err)
			t.Errorf("%d nodes, %s=%d: %v; all of it is in %s; shrunk:\n%s", nodes, envSeed, seed, v, dir, text)
		}
	}
}
