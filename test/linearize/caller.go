//go:build linux

package linearize

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/b0401464/redlock"
)

// hold looks at a lock and extends it now and then, until it is over or has been held for long.
func (c *caller) hold(held context.Context, asked *Event, lock *redlock.Lock) {
	for range c.random.IntN(4) {
		c.sleep(held, c.upTo(time.Duration(asked.TTL)/3))
		if !c.look(held, asked.ID, lock) {
			return
		}
		if c.chance(40) {
			c.extend(held, asked.ID, lock)
		}
	}
}

// outstay goes on looking until some time after the lock is to end.
func (c *caller) outstay(held context.Context, id string, lock *redlock.Lock) {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if !c.look(held, id, lock) {
			break
		}
		// Not by the context, which may tell too late, and for that reason.
		time.Sleep(min(max(time.Until(lock.Until()), 2*time.Millisecond), 100*time.Millisecond))
	}
	after := 200 * time.Millisecond
	if c.chance(15) {
		after = 3 * time.Second // when no node can have a key any more
	}
	time.Sleep(c.upTo(after))
}

// look asks the lock, or its context, if it is to be relied on.
func (c *caller) look(held context.Context, id string, lock *redlock.Lock) bool {
	return c.lookBy(held, id, lock, c.chance(50))
}

// lookBy is look, by Valid or by the context.
func (c *caller) lookBy(held context.Context, id string, lock *redlock.Lock, valid bool) bool {
	e := Event{What: Looked, ID: id, From: monotonic()}
	var over error
	if !valid {
		over = held.Err()
	} else if !lock.Valid() {
		over = cmp.Or(held.Err(), errNotValid)
	}
	e.T = monotonic()
	if over != nil {
		over = cmp.Or(context.Cause(held), over)
	}
	e.Until = onClock(lock.Until())
	resultOf(&e, over)
	c.record.put(&e)
	return over == nil
}

var errNotValid = errors.New("not valid, though its context has not ended")

func (c *caller) extend(held context.Context, id string, lock *redlock.Lock) {
	ctx, ttl := context.WithoutCancel(held), c.ttl()
	if c.chance(50) {
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond+c.upTo(300*time.Millisecond))
		defer cancel()
		ctx = short
	}
	asked := Event{T: monotonic(), What: Extend, ID: id, TTL: int64(ttl)}
	asked.Until = onClock(lock.Until())
	c.record.put(&asked)
	err := lock.Extend(ctx, ttl)
	e := Event{T: monotonic(), What: Extended, ID: id, Until: onClock(lock.Until())}
	resultOf(&e, err)
	c.record.put(&e)
}

func (c *caller) inspect(ctx context.Context, resource string) {
	if c.chance(50) { // what it tells then, of nodes that have not answered, must be right, too
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond+c.upTo(100*time.Millisecond))
		defer cancel()
	}
	id := c.nextID()
	c.record.put(&Event{T: monotonic(), What: Inspect, ID: id, Resource: resource})
	s, err := c.locker.Inspect(ctx, resource)
	e := Event{T: monotonic(), What: Inspected, ID: id}
	resultOf(&e, err)
	e.Verdict, e.By, e.ByMark, e.Token = string(s.Verdict), s.Holder.Owner, s.Holder.Mark, s.Token
	for i := range s.Nodes {
		if s.Nodes[i].Err == nil && s.Nodes[i].PartErr == nil {
			e.Told++
		}
	}
	c.heard(resource, e.ByMark)
	c.record.put(&e)
}

// breakLock breaks the lock of the holder of which it has heard last, who may be there no more.
func (c *caller) breakLock(ctx context.Context, resource string) {
	mark := c.marks[resource]
	if mark == "" {
		return
	}
	id := c.nextID()
	c.record.put(&Event{T: monotonic(), What: Break, ID: id, Resource: resource, Mark: mark})
	c.told(Broken, id, c.locker.Break(ctx, resource, mark))
}
