package batch

import (
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/client"
)

// maxApart is how many commands go apart at a time.
const maxApart = 8

// An apart is what a queue repeats since it has lost a connection, each command by itself:
// the node, or something on the way to it, may hang up on one of them, which is not to
// take the others with it again. It is under Queue.mu.
type apart struct {
	queue []Command
	out   int // of those under way that are not late
	// reached says that one has been answered since the queue was last empty. Until then
	// one goes at a time, as the node may be away: go-redis must not dial for each.
	reached bool
}

// part has a command sent apart.
func (q *Queue) part(x Command) {
	a := &q.apart
	if len(a.queue)+a.out == 0 {
		a.reached = false
	}
	a.queue = append(a.queue, x)
	q.nextApart()
}

func (q *Queue) nextApart() {
	a := &q.apart
	for len(a.queue) > 0 && (a.out == 0 || a.reached && a.out < maxApart) {
		x := a.queue[0]
		a.queue = slices.Delete(a.queue, 0, 1)
		a.out++
		s := &repeat{queue: q, command: x, to: x.To}
		s.late = time.AfterFunc(q.limit(x.Patience), s.isLate)
		x.To = s
		q.single(x)
	}
}

// A repeat is a command that goes apart.
type repeat struct {
	queue   *Queue
	command Command
	to      Recipient
	late    *time.Timer
	over    bool // it is late, or has come back
}

func (s *repeat) isLate() {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if !s.over && !q.apart.reached {
		q.rejoin()
	}
	s.end()
}

// Answered is told what a command that went apart was answered. One that found no connection,
// which says nothing of it, is sent with a batch.
func (s *repeat) Answered(a client.Answer, at time.Time) {
	q := s.queue
	q.mu.Lock()
	s.late.Stop()
	away := client.Unconnected(a.Err)
	if away {
		q.alone = time.Now().Add(alone)
		q.enqueue(s.command)
		q.rejoin()
	} else {
		q.apart.reached = q.apart.reached || a.Err == nil || client.IsReply(a.Err)
	}
	s.end()
	q.mu.Unlock()
	if !away {
		s.to.Answered(a, at)
	}
}

// end lets the next one go. s.queue.mu is held.
func (s *repeat) end() {
	if !s.over {
		s.over = true
		s.queue.apart.out--
		s.queue.nextApart()
	}
}

// rejoin has all that waits to go apart sent with the next batch: what is lost is the
// node, and not a command.
func (q *Queue) rejoin() {
	for _, x := range q.apart.queue {
		q.enqueue(x)
	}
	clear(q.apart.queue)
	q.apart = apart{queue: q.apart.queue[:0], out: q.apart.out}
	q.dispatch()
}
