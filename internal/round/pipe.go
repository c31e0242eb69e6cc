package round

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A pipe is a client whose commands go through a pipeliner: what many callers want
// at once is sent in one batch.
type pipe struct {
	auto *redis.AutoPipeliner
	own  bool // nobody else uses the pipeliner

	made time.Time
	// owes is when the first command after the last answer came, in ns after made;
	// 0 if there is none.
	owes atomic.Int64
}

// Process runs a command through the pipeliner.
func (p *pipe) Process(ctx context.Context, cmd redis.Cmder) error {
	if p.owes.Load() == 0 {
		p.owes.Store(int64(time.Since(p.made)))
	}
	defer func() {
		// Who finds it so leaves the cache line alone.
		if p.owes.Load() != 0 {
			p.owes.Store(0)
		}
	}()
	return p.auto.Process(ctx, cmd)
}

// stuck reports whether no command has come back for that long. A batch that hangs,
// as one connection may, must hold up only what was meant for the next one.
func (p *pipe) stuck(now time.Time, timeout time.Duration) bool {
	since := time.Duration(p.owes.Load())
	return since != 0 && now.Sub(p.made)-since > timeout
}

// batches are what is sent, unless the client's options say otherwise: two at a time, so
// that the node works on one while callers make the next, and one that hangs leaves a
// way. Lanes keep the order that matters.
var batches = redis.AutoPipelineOptions{MaxBatchSize: 32, MaxConcurrentBatches: 2, Unordered: true}

// newPipe returns a pipe of a client, nil if it has no pipeliners. Other types than
// those of go-redis are left alone even if they embed one: their Process would be
// passed over.
func newPipe(client Client) (p *pipe, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("its AutoPipeline panicked: %v", r)
		}
	}()
	switch c := client.(type) {
	case *redis.Client:
		// A client has one pipeliner, which the program or another Locker may use,
		// so this is that of a copy. They share their connections.
		o := c.Options()
		auto, err := c.WithTimeout(o.ReadTimeout).AutoPipelineWithOptions(cmp.Or(o.AutoPipelineOptions, &batches))
		return &pipe{auto: auto, own: true, made: time.Now()}, err
	case *redis.ClusterClient:
		auto, err := c.AutoPipeline()
		return &pipe{auto: auto, made: time.Now()}, err
	default:
		return nil, nil
	}
}

// EnablePipes has the commands for each client that has pipeliners go through one. It
// sends nothing. If it fails for a client, it tells which one, and has changed nothing.
func (f *Fleet) EnablePipes() (client int, err error) {
	ways := slices.Clone(f.ways)
	for i, c := range f.clients {
		p, err := newPipe(c)
		if err != nil {
			closePipes(ways)
			return i, err
		}
		if p != nil {
			ways[i].pipe, ways[i].batched = p, true
		}
	}
	f.ways = ways
	return 0, nil
}

// ClosePipes ends what EnablePipes began, once no node call is open.
func (f *Fleet) ClosePipes() { closePipes(f.ways) }

// closePipes closes the pipeliners that nobody else can use. An idle one has nothing to
// flush, and a second call does nothing.
func closePipes(ways []way) {
	for i := range ways {
		if p := ways[i].pipe; p != nil && p.own {
			_ = p.auto.Close()
		}
	}
}

// A way is how the commands for a node get there.
type way struct {
	client Client
	pipe   *pipe // nil without
	// batched says that commands share batches. go-redis repeats a batch as a whole
	// if it repeats its commands, and splits it where some are not to be repeated:
	// so none is, there.
	batched bool
}

func newWays(clients []Client) []way {
	ways := make([]way, len(clients))
	for i, c := range clients {
		_, batched := c.(*redis.AutoPipeliner)
		ways[i] = way{client: c, batched: batched}
	}
	return ways
}

// at returns what to send a command through that has timeout for the node. It is the
// client itself while the pipeliner is stuck, and once it is closed: somebody else may
// have done that, and a lock may be unlocked again after Shutdown has.
func (w *way) at(now time.Time, timeout time.Duration) Client {
	if w.pipe == nil || w.pipe.auto.IsClosed() || w.pipe.stuck(now, timeout) {
		return w.client
	}
	return w.pipe
}

// sentOnce reports whether go-redis is kept from sending the command to the node again.
func (f *Fleet) sentOnce(c *call, node int) bool { return c.once || f.ways[node].batched }
