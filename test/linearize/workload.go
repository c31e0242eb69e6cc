//go:build linux

package linearize

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/rpc"
	"slices"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// A guard is what keeps a worker that has lost its lock from writing.
type guard string

// Guards.
const (
	nothingWritten guard = "nothing to guard" // the lock is around nothing
	unguarded      guard = "none"
	byContext      guard = "Lock.Context"
	byValid        guard = "Lock.Valid"
	byFence        guard = "Fence"
)

// A workload has a worker lock each of some sets, and add an element to it: it reads all of
// the set, and writes all of it a second later. The worker looks at its lock when half of that
// second is over, as its guard says: what it finds may be outdated when it writes.
type workload struct {
	Guard guard
	Sets  string // their address
}

const (
	sets        = 12
	setTTL      = 1200 * time.Millisecond // which is extended automatically
	halfLatency = 500 * time.Millisecond
)

func nameOfSet(i int) string { return fmt.Sprint(fencedPrefix, "-set-", i) }

func (l *workload) run(ctx context.Context, j *job, locker *redlock.Locker, r *recorder) error {
	client, err := rpc.Dial("tcp4", l.Sets)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range sets {
		w := &writer{
			workload: l, sets: client, name: nameOfSet(i),
			caller: &caller{
				locker: locker, record: r, name: fmt.Sprintf("%s-%d", j.Name, i),
				random: rand.New(rand.NewPCG(j.Seed, uint64(i))), //nolint:gosec // nothing secret
			},
		}
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return nil
}

// A writer adds to one set.
type writer struct {
	*workload
	*caller

	sets *rpc.Client
	name string
}

func (w *writer) run(ctx context.Context) {
	for ; ctx.Err() == nil; w.sleep(ctx, w.upTo(100*time.Millisecond)) {
		asked := Event{T: monotonic(), What: Asked, ID: w.nextID(), Call: "Lock", Resource: w.name, TTL: int64(setTTL), Auto: true}
		w.record.put(&asked)
		lock, err := w.locker.Lock(ctx, w.name, setTTL,
			redlock.WithOwner(asked.ID), redlock.WithFencing(time.Hour), redlock.WithAutoExtend(redlock.Forever))
		if err != nil {
			w.failed(&asked, err)
			continue
		}
		w.granted(&asked, lock)
		w.add(context.WithoutCancel(ctx), asked.ID, lock)
		w.tell(Unlock, asked.ID, lock)
		w.told(Unlocked, asked.ID, lock.Unlock(context.WithoutCancel(ctx)))
	}
}

// add adds an element to the set, and writes down whether it has been told that it is there.
func (w *writer) add(ctx context.Context, element string, lock *redlock.Lock) {
	held, stop := lock.Context(ctx)
	defer stop()
	defer w.look(held, element, lock) // for the models; the writer does not go by it
	if w.Guard == nothingWritten {
		time.Sleep(w.upTo(2 * halfLatency))
		return
	}
	in, elements, done := SetRequest{Name: w.name}, []string(nil), false
	if w.Guard == byFence {
		in.Token = lock.Token()
	}
	if w.sets.Call("Sets.Read", in, &elements) != nil {
		return
	}
	time.Sleep(halfLatency)
	if (w.Guard == byContext || w.Guard == byValid) && !w.lookBy(held, element, lock, w.Guard == byValid) {
		return
	}
	time.Sleep(halfLatency)
	in.Elements = slices.Concat(elements, []string{element})
	e := Event{What: Added, ID: element}
	resultOf(&e, w.sets.Call("Sets.Write", in, &done))
	e.T = monotonic()
	w.record.put(&e)
}

// stops are the faults of workloads: workers are stopped for longer than their locks last.
func stops() []stream {
	return []stream{{pause: 400 * time.Millisecond, least: 300 * time.Millisecond, most: 3 * time.Second, faults: []fault{
		{"workers stopped", onWorkers((*worker).stop, (*worker).resume)},
	}}}
}
