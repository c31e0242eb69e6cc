package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/test/servers"
)

const (
	envLength = "REDLOCK_CHAOS"      // for how long it goes on, a Go duration
	envSeed   = "REDLOCK_CHAOS_SEED" // chooses the faults
)

func TestMain(m *testing.M) {
	servers.Silence()
	goleak.VerifyTestMain(m)
}

func TestNoTwoHoldersWhateverHappensToAMinority(t *testing.T) {
	length, seed := 10*time.Second, rand.Uint64() //nolint:gosec // nothing secret
	if text := os.Getenv(envLength); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err, envLength)
	}
	if text := os.Getenv(envSeed); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, envSeed)
	}
	t.Logf("for %v, %s=%d", length, envSeed, seed)
	Run(t, length, seed)
}

// Half of the processes have one node, half of them another.
func TestLockersThatShareNoNodeAreCaught(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	f := newFigures(0, 0, stop)
	w := &world{figures: f, servers: servers.Start(t, 2), counters: []*counter{newCounter("k", f)}}
	for i := range processes {
		w.processes = append(w.processes, newProcess(t, i, w.servers[i%2:i%2+1], f))
	}
	var wg sync.WaitGroup
	w.work(ctx, &wg, 0)
	wg.Wait()
	w.shutdown(t)
	w.counters[0].audit()
	requireKind(t, overlap, f.violations())
	t.Log(f.violations()[0])
}
