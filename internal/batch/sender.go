package batch

import (
	"context"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
)

// A sender takes batches to the node, one after the other, until the queue is empty or
// a batch is late.
type sender struct {
	queue   *Queue
	batch   []Command
	cmds    []redis.Cmder
	answers []client.Answer

	// Under Queue.mu.
	timer  *time.Timer // fires when the batch is late
	begun  time.Time   // when the batch was sent; zero if none is under way
	limit  time.Duration
	isLate bool
}

// run sends batches. It ends with a batch that its client ends the goroutine in, too.
func (s *sender) run() error {
	for s.next() {
		s.send()
		// Who has got an answer makes the next command, for the next batch.
		runtime.Gosched()
	}
	return nil
}

// next takes the next batch off the queue. It reports false if there is none for this sender,
// which may be used again then. One that was late is not: it would be late for ever.
func (s *sender) next() bool {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.isLate {
		return false
	}
	most, alone := maxBatch, q.oneAtATime()
	if alone {
		most = maxAlone
	}
	n := min(len(q.waiting), most)
	if n == 0 || len(q.out) > 1 && alone {
		q.remove(s)
		q.spare = append(q.spare, s)
		return false
	}
	s.batch = append(s.batch[:0], q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	s.begun, s.limit = time.Now(), q.limit(q.least) // for the sake of those that wait, too
	if rest == 0 {
		q.least = 0
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(s.limit, s.late)
	} else {
		s.timer.Reset(s.limit)
	}
	return true
}

// hurry has the batch be late sooner, for the sake of a command that waits for the next
// one and has a shorter node timeout.
func (s *sender) hurry(patience time.Duration) {
	limit := s.queue.limit(patience)
	if s.begun.IsZero() || limit >= s.limit {
		return
	}
	s.limit = limit
	s.timer.Reset(time.Until(s.begun.Add(limit)))
}

// late has what waits sent.
func (s *sender) late() {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.begun.IsZero() || s.isLate || time.Since(s.begun) < s.limit {
		return // that was another batch
	}
	s.isLate = true
	q.late++
	q.remove(s)
	if q.oneAtATime() {
		q.dispatch()
		return
	}
	for i, x := range q.waiting {
		q.single(x)
		q.waiting[i] = Command{}
	}
	q.waiting, q.least = q.waiting[:0], 0
}

// send sends the batch and deals with what comes of it.
func (s *sender) send() {
	failure, returned := client.ErrNoReturn, false
	defer func() { // if the client calls runtime.Goexit, too
		s.returned(s.read(failure), s.answers[len(s.answers)-1].Err, returned)
		now := time.Now()
		for i := range s.batch {
			x := s.batch[i]
			s.batch[i] = Command{}
			x.To.Answered(s.answers[i], now)
		}
		clear(s.cmds) // who waits to be sent again keeps nothing of a lock
		clear(s.answers)
	}()
	failure = s.exec()
	returned = true
}

// returned notes that the batch is not under way any more, whether it was well, what befell
// the last command, and whether the sender can take the next batch.
func (s *sender) returned(well bool, last error, goesOn bool) {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	s.timer.Stop()
	switch {
	case well:
		q.took(time.Since(s.begun))
	case client.Unconnected(last) || client.Disconnected(last):
		q.alone = time.Now().Add(alone)
	}
	s.begun = time.Time{}
	switch {
	case s.isLate:
		q.late--
	case !goesOn:
		q.remove(s)
		q.dispatch()
	}
}

// exec sends the batch. It returns why commands of it may have been given no answer, if
// they have not.
func (s *sender) exec() (failure error) {
	defer func() {
		if p := recover(); p != nil {
			failure = client.Panicked(p)
		}
	}()
	if len(s.batch) == 1 && s.batch[0].And == nil {
		return s.queue.client.Process(s.batch[0].Ctx, client.SendOnce(s.batch[0].Cmd)) // has the context of its call
	}
	s.cmds = s.cmds[:0]
	for i := range s.batch {
		s.cmds = append(s.cmds, client.SendOnce(s.batch[i].Cmd))
		if and := s.batch[i].And; and != nil {
			s.cmds = append(s.cmds, client.SendOnce(and))
		}
	}
	ctx := context.Background()
	switch to := s.queue.client.(type) {
	case *redis.Client:
		return client.Pipelined(ctx, to, s.cmds)
	case *redis.ClusterClient:
		spreadOver(to)
		return client.Pipelined(ctx, to, s.cmds)
	default:
		return client.ErrNoReturn
	}
}

// read notes what each command was answered: failure if there is nothing. It reports
// whether the batch has brought answers.
func (s *sender) read(failure error) (well bool) {
	well = true
	s.answers = s.answers[:0]
	for i := range s.batch {
		a := answerOf(&s.batch[i], failure)
		if a.Err != nil && !client.IsReply(a.Err) {
			well = false
			a.Err = s.redact(a.Err)
		}
		s.answers = append(s.answers, a)
	}
	return well
}

// answerOf returns what a command was answered: failure if there is nothing.
func answerOf(x *Command, failure error) (a client.Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = client.Answer{Err: client.Panicked(p)}
		}
	}()
	if a.Reply, a.Err = x.Cmd.Result(); a.Err == nil && (a.Reply == nil || a.Reply == client.NotSet) {
		a.Err = failure // no script returns nil
	}
	if a.Err != nil {
		_, _, _ = a.Err.Error(), client.IsReply(a.Err), client.Disconnected(a.Err) // those of a client's own type may panic
	} else if x.And != nil {
		a.And, _ = x.And.Result()
	}
	return a
}

// redact returns err without the values of the batch in its text: what has befallen a
// batch may be told by one of its commands, to all.
func (s *sender) redact(err error) error {
	for i := range s.batch {
		err = client.Redact(err, s.batch[i].Value)
	}
	return err
}
