package round

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/internal/script"
)

// Bounds of what is under way to a node: so many batches at a time, that the node works
// on one while callers make the next, and so many commands in each.
const (
	maxBatches = 2
	maxBatch   = 128
	maxAlone   = maxBatches * maxBatch // in a batch that goes alone
)

// minLate is after how long at least a batch is late, which takes four times as long as
// they usually do.
const minLate = 50 * time.Millisecond

// alone is for how long, after a batch has lost its connection or had none, batches go
// one at a time. Once many dials have failed go-redis dials only once a second, and fails
// at once who finds no connection, though the node may be well again, and one connection
// serve all: so few dial.
const alone = 2 * time.Second

// A pipe sends what many callers want of a node at the same moment in one batch. What
// one batch has brought is dealt with on its goroutine, and not on one for each command.
//
// While a batch is late, because its connection hangs or the node does, commands go by
// themselves: a connection that hangs then costs one of them, and not a batch. If they
// go one at a time, the next one goes beside it.
type pipe struct {
	client  Client
	senders errgroup.Group // nobody waits for them: the lane table counts what they send

	mu    sync.Mutex
	queue []parcel
	least time.Duration // of the node timeouts since the queue was last empty; 0 if it is
	out   []*courier
	spare []*courier    // that have come back, with the room they have
	late  int           // couriers whose batch is; they are not out any more
	trip  time.Duration // how long a batch takes; 0 if that is not known
	alone time.Time     // until when there is to be one at most
}

// A parcel is a command on its way through a pipe.
type parcel struct {
	ctx      context.Context //nolint:containedctx // used if it goes by itself
	cmd      *redis.Cmd
	resource string
	value    string
	patience time.Duration // the node timeout
	to       interface{ came(a answer, at time.Time) }
}

// send has a command sent with the next batch.
func (p *pipe) send(x parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late > 0 && !p.oneAtATime() {
		p.single(x)
		return
	}
	p.queue = append(p.queue, x)
	if p.least == 0 || x.patience < p.least {
		p.least = x.patience
	}
	p.dispatch()
	for _, c := range p.out {
		c.hurry(x.patience)
	}
}

// process sends a command and waits for its answer.
func (p *pipe) process(x parcel) answer {
	w := make(waiter, 1)
	x.to = w
	p.send(x)
	return <-w
}

// A waiter waits for an answer.
type waiter chan answer

func (w waiter) came(a answer, _ time.Time) { w <- a }

// single sends a command by itself.
func (p *pipe) single(x parcel) {
	p.senders.Go(func() error {
		a := answer{err: errNoReturn} // if the client calls runtime.Goexit
		defer func() { x.to.came(a, time.Now()) }()
		a = process(x.ctx, p.client, x.cmd, true)
		return nil
	})
}

// dispatch sends one more courier if there is something for it, and not too many are
// out.
func (p *pipe) dispatch() {
	if n := len(p.out); len(p.queue) == 0 || n == maxBatches || n > 0 && p.oneAtATime() {
		return
	}
	c := p.courier()
	p.out = append(p.out, c)
	p.senders.Go(c.carry)
}

// courier returns one that has come back, with the room it has, or a new one.
func (p *pipe) courier() *courier {
	n := len(p.spare)
	if n == 0 {
		return &courier{pipe: p}
	}
	c := p.spare[n-1]
	p.spare = p.spare[:n-1]
	return c
}

func (p *pipe) oneAtATime() bool { return !p.alone.IsZero() && time.Now().Before(p.alone) }

// away takes a courier off those that are out.
func (p *pipe) away(c *courier) {
	p.out = slices.DeleteFunc(p.out, func(o *courier) bool { return o == c })
}

// limit returns after how long a batch is late for a command with a node timeout.
func (p *pipe) limit(patience time.Duration) time.Duration {
	if p.trip == 0 || p.oneAtATime() {
		return patience / 2
	}
	return min(max(4*p.trip, minLate), patience/2)
}

// took notes how long a batch has taken.
func (p *pipe) took(d time.Duration) {
	if p.trip != 0 && d > p.trip {
		d = (7*p.trip + d) / 8
	}
	p.trip = max(d, 1)
}

// A way is how the commands for a node get there.
type way struct {
	pipes []*pipe // none, one, or of a Cluster one for each part of the slots
	// batched says that commands share batches. go-redis repeats a batch as a whole
	// if it repeats its commands: so none is, there.
	batched bool
}

// clusterPipes is how many pipes a Cluster has. The slots of each mostly lie on one
// server, so that one which hangs does not hold up what is meant for the others.
const clusterPipes = 16

func newWays(clients []Client) []way {
	ways := make([]way, len(clients))
	for i, c := range clients {
		_, ways[i].batched = c.(*redis.AutoPipeliner)
	}
	return ways
}

// EnablePipes has the commands for each client that can take batches sent in them. Other
// types than those of go-redis are left alone even if they embed one: their Process would
// be passed over.
func (f *Fleet) EnablePipes() {
	for i, c := range f.clients {
		switch c := c.(type) {
		case *redis.Client:
			f.ways[i] = newPipes(c, 1)
		case *redis.ClusterClient:
			f.ways[i] = newPipes(c, clusterPipes)
		}
	}
}

func newPipes(client Client, n int) way {
	w := way{batched: true}
	for range n {
		w.pipes = append(w.pipes, &pipe{client: client})
	}
	return w
}

// pipe returns what the commands for a resource go through, nil if each goes by itself.
func (w *way) pipe(resource string) *pipe {
	switch n := len(w.pipes); n {
	case 0:
		return nil
	case 1:
		return w.pipes[0]
	default:
		return w.pipes[script.Slot(resource)*n/script.Slots]
	}
}

// sentOnce reports whether go-redis is kept from sending the command to the node again.
func (f *Fleet) sentOnce(c *call, node int) bool { return c.once || f.ways[node].batched }
