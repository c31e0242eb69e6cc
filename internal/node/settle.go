package node

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
)

// maxLost is after how many tries in a row that have failed those that are due as well
// wait too: each may take as long as the client waits.
const maxLost = 3

// maxHung bounds the tries of what a node is owed that hang.
const maxHung = 4

// maxAsks bounds how often a node is asked again whose refusals name what it is owed.
const maxAsks = 5

// final reports whether what came of a release is: a key of another type is not ours. DELEX
// has words of its own for that.
func final(err error) bool {
	return err == nil || strings.Contains(err.Error(), "WRONGTYPE") || strings.Contains(err.Error(), "should be of string type")
}

// errHangs is what came of a try that the node timeout has ended.
var errHangs = errors.New("hangs")

// settle tries what is due, one after the other.
func (p *pending) settle() {
	well, lost := true, 0
	for r, due := p.next(); due; r, due = p.next() {
		begun := time.Now()
		err := p.try(r)
		hangs := errors.Is(err, errHangs)
		switch {
		case final(err):
			p.remove(r)
			well, lost = true, 0
		case errors.Is(err, redis.ErrClosed): // the program needs it no more
			p.drop(func(release) bool { return true })
		default:
			lost++
			p.failed(r, client.Unconnected(err) || lost == maxLost, p.retry(begun, hangs))
			well = well && hangs
		}
	}
	if !well || lost == 0 { // what hangs says nothing of the node
		p.judge(well)
	}
	p.settled()
}

// retry returns when a release is tried again whose try has begun then, and failed now. It may
// be a connection that hangs, and so may each that is idle: the next one is tried soon, as
// long as few hang.
func (p *pending) retry(begun time.Time, hangs bool) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.last:
		return time.Now().Add(redial)
	case hangs:
		return begun.Add(redial)
	}
	return time.Now().Add(max(p.pause, redial))
}

// failed has a release wait that has failed and, if all says so, the others too that are
// due. It comes after all others then.
func (p *pending) failed(r release, all bool, next time.Time) {
	now := time.Now()
	p.mu.Lock()
	last := p.last
	i := slices.IndexFunc(p.owed, func(old release) bool { return old.command == r.command })
	if i >= 0 && !last {
		r = p.owed[i]
		r.due = next
		p.owed = append(slices.Delete(p.owed, i, i+1), r)
	}
	for j := range p.owed {
		switch old := &p.owed[j]; {
		case last && (old.command == r.command && old.times == r.times || all && !old.due.After(now)):
			old.due = next
			old.left--
		case !last && all && old.due.Before(next):
			old.due = next
		}
	}
	p.mu.Unlock()
	if last {
		p.drop(func(old release) bool { return old.left <= 0 })
	}
}

// judge sets the pause, by whether the node has answered well.
func (p *pending) judge(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// What fails in between, as it was owed later, says no more than what failed before.
	if now := time.Now(); well {
		p.pause = 0
	} else if now.Sub(p.paused) >= p.pause {
		p.pause, p.paused = min(max(2*p.pause, redial), maxRedial), now
	}
}

// settled notes that nothing more is due.
func (p *pending) settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settles = false
	p.rest()
}

// A turn is told that there is room for a try, and that it hangs.
type turn struct{ due, hangs chan struct{} }

func (t *turn) Due(bool) { close(t.due) }

func (t *turn) GiveUp() { close(t.hangs) }

// try tries a release on a goroutine of its own, with a place in no lane. It returns when
// that is given up: what hangs must not keep the others from being tried.
func (p *pending) try(r release) error {
	tr := p.node.lanes.NewSeries()
	place := &tr.Take(lane.Follow, r.call.Place.Timeout(), func(node int) bool { return node == p.node.Index })[p.node.Index]
	if !place.Taken() {
		return ErrBehind
	}
	if !p.hang(1) {
		place.Done(false)
		return ErrBehind
	}
	result, turn := make(chan error, 1), &turn{make(chan struct{}), make(chan struct{})}
	place.Then(turn)
	p.node.calls.Go(func() error {
		err := client.ErrNoReturn // if the client calls runtime.Goexit
		defer func() {
			p.hang(-1)
			if final(err) {
				p.remove(r)
			}
			place.Done(err == nil || client.IsReply(err))
			result <- err
		}()
		<-turn.due // no call keeps its room for longer than a node timeout
		err = r.try(r.call)
		return nil
	})
	select {
	case err := <-result:
		return err
	case <-turn.hangs:
		return errHangs
	}
}

// hang counts a try that is under way. It reports false if there are enough.
func (p *pending) hang(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > 0 && p.hung == maxHung {
		return false
	}
	p.hung += n
	return true
}

// try sends the release once more, by the way that a call of its node goes. A later
// release that finds nothing is told by that from one that finds the lock lost.
func (r *release) try(by *Call) (err error) {
	v, in, said, effect, begun := r.call, Vote{}, Failed, Maybe, time.Now()
	v.Owner.Retrying(v.Node.Index)
	defer func() { v.Owner.Retried(v.Node.Index, said, effect) }() // if the client calls runtime.Goexit, too
	a := by.do(r.command)
	if err = a.Err; err == nil {
		err = in.read(r.command, a.Reply)
	}
	by.tell(r.command, &in)
	if err == nil {
		said = in.Kind
	}
	effect = v.effect(r.command, in.Kind, err, begun)
	return err
}

// settleFirst asks again a node that has refused because of a value whose release it is
// owed: it answers now, and its own Locker is not to be refused by that.
func (v *Call) settleFirst(in Vote, answered bool, err error) (Vote, bool, error) {
	p, before := &v.Node.pending, in.Effect
	for range max(maxAsks, len(v.Place.Resources())) { // each refusal names one
		if err != nil || in.Kind != Refused || v.wanted.givenUp.Load() {
			break
		}
		r, owed := p.named(in.More.Mark)
		if !owed || r.try(v) != nil {
			break
		}
		p.remove(r)
		in, answered, err = v.ask(time.Now(), nil)
		in.Effect = before.Then(in.Effect) // a copy from before that may come yet
	}
	return in, answered, err
}
