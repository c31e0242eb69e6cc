// Package batch sends what many callers want of a node at the same moment in one batch. It
// promises an answer to each command as long as the client comes back, and that a batch which
// hangs, or a command on which a connection is lost, holds up or takes along few others. It
// knows nothing of locks and votes, and sends nothing twice but what found no connection. The
// calls of a node hand it their commands.
package batch

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/internal/client"
)

// Bounds of what is under way to a node: so many batches at a time, that the node works
// on one while callers make the next, and so many commands in each.
const (
	maxBatches = 2
	maxBatch   = 128
	maxAlone   = maxBatches * maxBatch // in a batch that goes alone
)

// Room is how many commands a queue is to be handed before it has brought the answers to the
// first of them: those of some batches.
const Room = 4 * maxAlone

// minLate is after how long at least a batch is late, which takes four times as long as
// they usually do.
const minLate = 50 * time.Millisecond

// alone is for how long, after a batch has lost its connection or had none, batches go
// one at a time. Once many dials have failed go-redis dials only once a second, and fails
// at once who finds no connection, though the node may be well again, and one connection
// serve all: so few dial.
const alone = 2 * time.Second

// A Queue sends what many callers want of a node at the same moment in one batch. What
// one batch has brought is dealt with on its goroutine, and not on one for each command.
//
// While a batch is late, because its connection hangs or the node does, commands go by
// themselves: a connection that hangs then costs one of them, and not a batch. If they
// go one at a time, the next one goes beside it.
type Queue struct {
	client  client.Client
	senders errgroup.Group // nobody waits for them: the lane table counts what they send

	mu      sync.Mutex
	waiting []Command
	least   time.Duration // of the node timeouts since the queue was last empty; 0 if it is
	out     []*sender
	spare   []*sender     // that have come back, with the room they have
	late    int           // senders whose batch is; they are not out any more
	trip    time.Duration // how long a batch takes; 0 if that is not known
	alone   time.Time     // until when there is to be one at most
	apart   apart         // what is repeated since it has lost a connection
}

// A Command is a command on its way through a queue.
type Command struct {
	Ctx      context.Context //nolint:containedctx // used if it goes by itself
	Cmd      client.Cmd
	And      client.Cmd    // follows it in the same packet; nil for none
	Value    string        // the secret in it, which no error is to tell
	Patience time.Duration // the node timeout
	Apart    bool          // it shares no batch
	To       Recipient
}

// A Recipient is told what a command was answered.
type Recipient interface {
	// Answered is called once, at that moment, on the goroutine of all of a batch: it must
	// not block.
	Answered(a client.Answer, at time.Time)
}

// Send has a command sent with the next batch.
func (q *Queue) Send(x Command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case x.Apart:
		q.part(x)
		return
	case q.late > 0 && !q.oneAtATime():
		q.single(x)
		return
	}
	q.enqueue(x)
	q.dispatch()
	for _, s := range q.out {
		s.hurry(x.Patience)
	}
}

func (q *Queue) enqueue(x Command) {
	q.waiting = append(q.waiting, x)
	if q.least == 0 || x.Patience < q.least {
		q.least = x.Patience
	}
}

// Process sends a command and waits for its answer.
func (q *Queue) Process(x Command) client.Answer {
	w := make(waiter, 1)
	x.To = w
	q.Send(x)
	return <-w
}

// A waiter is a recipient that waits.
type waiter chan client.Answer

func (w waiter) Answered(a client.Answer, _ time.Time) { w <- a }

// single sends a command by itself.
func (q *Queue) single(x Command) {
	q.senders.Go(func() error {
		a := client.Answer{Err: client.ErrNoReturn} // if the client calls runtime.Goexit
		defer func() { x.To.Answered(a, time.Now()) }()
		if c, ok := q.client.(client.Pipeliner); ok && x.And != nil {
			a = client.Together(x.Ctx, c, x.Cmd, x.And)
		} else {
			a = client.Process(x.Ctx, q.client, x.Cmd, client.SendOnce(x.Cmd))
		}
		return nil
	})
}

// dispatch starts one more sender if there is something for it, and not too many are
// out.
func (q *Queue) dispatch() {
	if n := len(q.out); len(q.waiting) == 0 || n == maxBatches || n > 0 && q.oneAtATime() {
		return
	}
	s := q.sender()
	q.out = append(q.out, s)
	q.senders.Go(s.run)
}

// sender returns one that has come back, with the room it has, or a new one.
func (q *Queue) sender() *sender {
	n := len(q.spare)
	if n == 0 {
		return &sender{queue: q}
	}
	s := q.spare[n-1]
	q.spare = q.spare[:n-1]
	return s
}

func (q *Queue) oneAtATime() bool { return !q.alone.IsZero() && time.Now().Before(q.alone) }

// remove takes a sender off those that are out.
func (q *Queue) remove(s *sender) {
	q.out = slices.DeleteFunc(q.out, func(o *sender) bool { return o == s })
}

// limit returns after how long a batch is late for a command with a node timeout.
func (q *Queue) limit(patience time.Duration) time.Duration {
	if q.trip == 0 || q.oneAtATime() {
		return patience / 2
	}
	return min(max(4*q.trip, minLate), patience/2)
}

// Trip returns how long a batch takes, without what its commands wait for it; 0 if that is not
// known.
func (q *Queue) Trip() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.trip
}

// took notes how long a batch has taken.
func (q *Queue) took(d time.Duration) {
	if q.trip != 0 && d > q.trip {
		d = (7*q.trip + d) / 8
	}
	q.trip = max(d, 1)
}
