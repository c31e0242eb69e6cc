package round

import (
	"context"
	"fmt"
	"runtime"
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
)

// alone is for how long, after a batch has failed, no other one goes beside a batch.
// Once many dials have failed go-redis dials only once a second, and fails at once who
// finds no connection: who fails so fast would take most of what there is to send, though
// the node may be well again, and one connection serve all.
const alone = 2 * time.Second

// A batcher is a client that can send commands in batches.
type batcher interface {
	Client
	Pipeline() redis.Pipeliner
}

// A pipe sends what many callers want of a node at the same moment in one batch. What
// one batch has brought is dealt with on its goroutine, and not on one for each command.
type pipe struct {
	client   batcher
	couriers errgroup.Group // nobody waits for them: the lane table counts what they carry

	mu    sync.Mutex
	queue []parcel
	out   int       // couriers, without those whose batch hangs
	alone time.Time // until when there is to be one at most
}

// A parcel is a command on its way through a pipe.
type parcel struct {
	ctx      context.Context //nolint:containedctx // used if it goes alone
	cmd      *redis.Cmd
	patience time.Duration // the node timeout
	to       interface{ came(a answer) }
}

// send has a command sent with the next batch.
func (p *pipe) send(x parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, x)
	p.dispatch()
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

func (w waiter) came(a answer) { w <- a }

// dispatch sends one more courier if there is something for it, and not too many are
// out.
func (p *pipe) dispatch() {
	if len(p.queue) == 0 || p.out == maxBatches || p.out > 0 && p.single() {
		return
	}
	p.out++
	p.couriers.Go((&courier{pipe: p}).carry)
}

// single reports whether one courier at a time is enough.
func (p *pipe) single() bool { return !p.alone.IsZero() && time.Now().Before(p.alone) }

// A courier takes batches to the node, one after the other, until the queue is empty or
// a batch has hung.
type courier struct {
	pipe  *pipe
	batch []parcel
	cmds  []redis.Cmder

	// Under pipe.mu.
	timer *time.Timer // has the courier replaced; it is set while a batch is under way
	until time.Time   // when the batch hangs
	hangs bool        // it does, or did, and the courier has been replaced
}

// carry carries batches. It ends with a batch that its client ends the goroutine in, too.
func (c *courier) carry() error {
	for c.load() {
		c.deliver()
		// Who has got an answer makes the next command, for the next batch.
		runtime.Gosched()
	}
	return nil
}

// load takes the next batch. It reports false if there is none for this courier, which
// is over then.
func (c *courier) load() bool {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.hangs {
		return false
	}
	n := min(len(p.queue), maxBatch)
	if n == 0 || p.out > 1 && p.single() {
		p.out--
		return false
	}
	c.batch = append(c.batch[:0], p.queue[:n]...)
	rest := copy(p.queue, p.queue[n:])
	clear(p.queue[rest:])
	p.queue = p.queue[:rest]
	var patience time.Duration
	for i := range c.batch {
		patience = max(patience, c.batch[i].patience)
	}
	c.until = time.Now().Add(patience)
	if c.timer == nil {
		c.timer = time.AfterFunc(patience, c.hang)
	} else {
		c.timer.Reset(patience)
	}
	return true
}

// hang has another courier take what waits for this one, whose batch has been under way
// for the node timeout: as one connection may hang, it must hold up only what it is in.
func (c *courier) hang() {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.hangs || c.until.IsZero() || time.Now().Before(c.until) {
		return // it has come back meanwhile
	}
	c.hangs = true
	p.out--
	p.dispatch()
}

// deliver sends the batch and deals with what comes of it.
func (c *courier) deliver() {
	failure, returned := errNoReturn, false
	defer func() {
		p, last := c.pipe, answerOf(c.batch[len(c.batch)-1].cmd, failure)
		p.mu.Lock()
		if last.err != nil && !isReply(last.err) {
			p.alone = time.Now().Add(alone)
		}
		c.until = time.Time{}
		c.timer.Stop()
		if !returned && !c.hangs { // the client has called runtime.Goexit
			c.hangs = true
			p.out--
			p.dispatch()
		}
		p.mu.Unlock()
		for i := range c.batch {
			x := &c.batch[i]
			x.to.came(answerOf(x.cmd, failure))
			*x = parcel{}
		}
	}()
	failure = c.exec()
	returned = true
}

// exec sends the batch. It returns why commands of it may have been given no answer, if
// they have not.
func (c *courier) exec() (failure error) {
	defer func() {
		if p := recover(); p != nil {
			failure = &panicError{fmt.Sprint("the client panicked: ", p)}
		}
	}()
	c.cmds = c.cmds[:0]
	for i := range c.batch {
		c.cmds = append(c.cmds, onceCmd{c.batch[i].cmd})
	}
	if len(c.cmds) == 1 { // has the context of its call
		return c.pipe.client.Process(c.batch[0].ctx, c.cmds[0])
	}
	ctx := context.Background()
	pipeline := c.pipe.client.Pipeline()
	if err := pipeline.BatchProcess(ctx, c.cmds...); err != nil {
		return err
	}
	_, err := pipeline.Exec(ctx)
	return err
}

// answerOf returns what a command of a batch was answered: failure if there is nothing.
func answerOf(cmd *redis.Cmd, failure error) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: &panicError{fmt.Sprint("the client panicked: ", p)}}
		}
	}()
	if a.reply, a.err = cmd.Result(); a.err == nil && a.reply == nil {
		a.err = failure // no script returns nil
	}
	if a.err != nil {
		_ = a.err.Error() // that of a client's own type may panic
	}
	return a
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

func newPipes(client batcher, n int) way {
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
