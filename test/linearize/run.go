//go:build linux

package linearize

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

const (
	workers  = 4
	patience = 30 * time.Second // for workers to end their calls; a busy machine is slow
)

// A world is servers, and the workers that lock on them.
type world struct {
	servers []*servers.Server
	workers []*worker
}

// A Run is how a history comes to be.
type Run struct {
	Nodes  int
	Seed   uint64
	Length time.Duration
	Dir    string // where the workers write

	Streams  []stream  // of faults
	Workload *workload // nil for what all calls of the library take
}

// Play has workers lock while faults happen, and returns what they have written down.
func (r *Run) Play(t *testing.T) *History {
	t.Helper()
	w := newWorld(t, r.Nodes, r.Seed, r.Dir, r.Workload)
	for _, k := range w.workers {
		k.start()
	}
	p := &plan{streams: r.Streams, seed: r.Seed}
	ctx, cancel := context.WithTimeout(t.Context(), r.Length)
	defer cancel()
	p.run(ctx, w)
	w.finish()
	events, err := readEvents(r.Dir)
	require.NoError(t, err)
	h, err := NewHistory(r.Nodes, events)
	require.NoError(t, err)
	h.Faults = p.past
	return h
}

func newWorld(t *testing.T, nodes int, seed uint64, dir string, load *workload) *world {
	t.Helper()
	w := &world{servers: servers.Start(t, nodes, servers.WithAppendOnly())}
	w.spread(t)
	for i := range workers {
		k := &worker{tb: t, dir: dir, seed: seed<<4 + uint64(i), index: i, load: load}
		for _, s := range w.servers {
			k.ways = append(k.ways, faultproxy.New(t, s.Addr()))
		}
		t.Cleanup(k.kill)
		w.workers = append(w.workers, k)
	}
	return w
}

// spread has the counters of a resource begin an hour ahead of every clock, and apart: its
// tokens grow by what the nodes count, and never by the time.
func (w *world) spread(t *testing.T) {
	t.Helper()
	require.True(t, strings.HasPrefix(resources[0], fencedPrefix))
	for i, s := range w.servers {
		ahead := time.Now().Add(time.Hour).UnixMicro() + int64(i)*10
		require.NoError(t, s.Client(t).Set(t.Context(), "{"+resources[0]+"}:redlock:token", ahead, 0).Err())
	}
}

// finish has all workers end.
func (w *world) finish() {
	var wg sync.WaitGroup
	for _, k := range w.workers {
		wg.Go(func() { k.finish(patience) })
	}
	wg.Wait()
}
