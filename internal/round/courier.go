package round

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"
)

// A courier takes batches to the node, one after the other, until the queue is empty or
// a batch is late.
type courier struct {
	pipe    *pipe
	batch   []parcel
	cmds    []redis.Cmder
	answers []answer

	// Under pipe.mu.
	timer  *time.Timer // fires when the batch is late
	begun  time.Time   // when the batch was sent; zero if none is under way
	limit  time.Duration
	isLate bool
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
// may be sent again then. One that was late is not: it would be late for ever.
func (c *courier) load() bool {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.isLate {
		return false
	}
	most, alone := maxBatch, p.oneAtATime()
	if alone {
		most = maxAlone
	}
	n := min(len(p.queue), most)
	if n == 0 || len(p.out) > 1 && alone {
		p.away(c)
		p.spare = append(p.spare, c)
		return false
	}
	c.batch = append(c.batch[:0], p.queue[:n]...)
	rest := copy(p.queue, p.queue[n:])
	clear(p.queue[rest:])
	p.queue = p.queue[:rest]
	c.begun, c.limit = time.Now(), p.limit(p.least) // for the sake of those that wait, too
	if rest == 0 {
		p.least = 0
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(c.limit, c.late)
	} else {
		c.timer.Reset(c.limit)
	}
	return true
}

// hurry has the batch be late sooner, for the sake of a command that waits for the next
// one and has a shorter node timeout.
func (c *courier) hurry(patience time.Duration) {
	limit := c.pipe.limit(patience)
	if c.begun.IsZero() || limit >= c.limit {
		return
	}
	c.limit = limit
	c.timer.Reset(time.Until(c.begun.Add(limit)))
}

// late has what waits sent.
func (c *courier) late() {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.begun.IsZero() || c.isLate || time.Since(c.begun) < c.limit {
		return // that was another batch
	}
	c.isLate = true
	p.late++
	p.away(c)
	if p.oneAtATime() {
		p.dispatch()
		return
	}
	for i, x := range p.queue {
		p.single(x)
		p.queue[i] = parcel{}
	}
	p.queue, p.least = p.queue[:0], 0
}

// deliver sends the batch and deals with what comes of it.
func (c *courier) deliver() {
	failure, returned := errNoReturn, false
	defer func() { // if the client calls runtime.Goexit, too
		c.back(c.read(failure), c.answers[len(c.answers)-1].err, returned)
		now := time.Now()
		for i := range c.batch {
			x := c.batch[i]
			c.batch[i] = parcel{}
			x.to.came(c.answers[i], now)
		}
		clear(c.cmds) // who waits to be sent again keeps nothing of a lock
		clear(c.answers)
	}()
	failure = c.exec()
	returned = true
}

// back notes that the batch is not under way any more, whether it was well, what befell
// the last command, and whether the courier can take the next batch.
func (c *courier) back(well bool, last error, goesOn bool) {
	p := c.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	c.timer.Stop()
	switch {
	case well:
		p.took(time.Since(c.begun))
	case unconnected(last) || disconnected(last):
		p.alone = time.Now().Add(alone)
	}
	c.begun = time.Time{}
	switch {
	case c.isLate:
		p.late--
	case !goesOn:
		p.away(c)
		p.dispatch()
	}
}

// exec sends the batch. It returns why commands of it may have been given no answer, if
// they have not.
func (c *courier) exec() (failure error) {
	defer func() {
		if p := recover(); p != nil {
			failure = &panicError{fmt.Sprint("the client panicked: ", p)}
		}
	}()
	if len(c.batch) == 1 {
		return c.pipe.client.Process(c.batch[0].ctx, onceCmd{c.batch[0].cmd}) // has the context of its call
	}
	c.cmds = c.cmds[:0]
	switch client := c.pipe.client.(type) {
	case *redis.Client:
		for i := range c.batch {
			c.cmds = append(c.cmds, onceCmd{c.batch[i].cmd})
		}
		return pipelined(client, c.cmds)
	case *redis.ClusterClient:
		return c.spread(client)
	default:
		return errNoReturn
	}
}

func pipelined(client *redis.Client, cmds []redis.Cmder) error {
	ctx := context.Background()
	pipeline := client.Pipeline()
	if err := pipeline.BatchProcess(ctx, cmds...); err != nil {
		return err
	}
	_, err := pipeline.Exec(ctx)
	return err
}

// spread sends each server of a Cluster its part of the batch. The pipeline of the
// Cluster itself would do so on goroutines that end the program if they panic. What is
// not there any more is told by an error, and the repeat follows it.
func (c *courier) spread(cluster *redis.ClusterClient) (failure error) {
	parts := make(map[*redis.Client][]redis.Cmder)
	for i := range c.batch {
		x := &c.batch[i]
		master, err := cluster.MasterForKey(context.Background(), x.resource)
		if err != nil {
			x.cmd.SetErr(err)
			continue
		}
		parts[master] = append(parts[master], onceCmd{x.cmd})
	}
	for master, cmds := range parts {
		if err := pipelined(master, cmds); err != nil {
			failure = err
		}
	}
	return failure
}

// read notes what each command was answered: failure if there is nothing. It reports
// whether the batch has brought answers.
func (c *courier) read(failure error) (well bool) {
	well = true
	c.answers = c.answers[:0]
	for i := range c.batch {
		a := answerOf(c.batch[i].cmd, failure)
		if a.err != nil && !isReply(a.err) {
			well = false
			a.err = c.redact(a.err)
		}
		c.answers = append(c.answers, a)
	}
	return well
}

// answerOf returns what a command was answered: failure if there is nothing.
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
		_, _, _ = a.err.Error(), isReply(a.err), disconnected(a.err) // those of a client's own type may panic
	}
	return a
}

// redact returns err without the values of the batch in its text: what has befallen a
// batch may be told by one of its commands, to all.
func (c *courier) redact(err error) error {
	text := err.Error()
	clean := text
	for i := range c.batch {
		clean = redacted(clean, c.batch[i].value)
	}
	switch {
	case clean == text:
		return err
	case unconnected(err):
		return &connectError{clean}
	}
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return &panicError{clean}
	}
	return errors.New(clean)
}
