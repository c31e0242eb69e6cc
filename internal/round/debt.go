package round

import (
	"crypto/sha1" //nolint:gosec // what the scripts name values by
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// redial is after how long a release that has failed is tried once more. After many
// dials have failed go-redis dials once a second, and refuses connections at once
// meanwhile, though the node may be back: both tries of a release may fall into that.
const redial = 1200 * time.Millisecond

// maxDebts bounds the releases that wait for that.
const maxDebts = 1024

// debts are the releases that a node is owed, in order.
type debts struct {
	count   atomic.Int32 // of owed
	mu      sync.Mutex
	owed    []debt
	settles bool // a goroutine does
}

// A debt is a release of which both tries were not answered.
type debt struct {
	visit *visit
	call  *call
	mark  string // of the value
	due   time.Time
}

// unanswered deals with a command that was not answered. unsent says that it was not
// even sent.
func (v *visit) unanswered(unsent bool) {
	g := v.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	switch n := &g.nodes[v.node]; {
	case v.call.op == OpAcquire:
		n.unsent = unsent
	case v.call.op == OpRelease && !n.unsent:
		v.owe()
	}
}

// owe has the release tried once more. It only compares with its own value, so it needs
// no place in a lane, and lets nobody in the line go.
func (v *visit) owe() {
	if v.grant.first.args == nil {
		return // it was for the line only
	}
	d := debt{visit: v, call: v.call, mark: markOf(v.call.value()), due: time.Now().Add(redial)}
	if d.call.plain != nil {
		d.call = d.call.plain
	}
	o := &v.grant.fleet.debts[v.node]
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.owed) == maxDebts {
		return
	}
	o.owed = append(o.owed, d)
	o.count.Store(int32(len(o.owed))) //nolint:gosec // at most maxDebts
	if !o.settles {
		o.settles = true
		v.grant.background(o.settle)
	}
}

// markOf returns what names the value in refusals.
func markOf(value string) string {
	sum := sha1.Sum([]byte(value)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:4])
}

// maxLost is after how many tries in a row that were not answered those that are due
// as well are given up: each may take as long as the client waits.
const maxLost = 3

// settle tries what is owed, one after the other, until nothing is any more.
func (o *debts) settle() {
	returned := false
	defer func() {
		if !returned { // the client has called runtime.Goexit
			o.forget()
		}
	}()
	for lost := 0; ; {
		d, owes := o.first()
		if !owes {
			returned = true
			return
		}
		if wait := time.Until(d.due); wait > 0 {
			lost = 0
			time.Sleep(wait)
			continue
		}
		d.visit.pipe = nil
		a := d.visit.script(d.call, nil)
		o.settled(d.call)
		switch {
		case a.err == nil || isReply(a.err):
			lost = 0
		case unconnected(a.err) || lost == maxLost-1:
			lost = 0
			o.dropDue()
		default:
			lost++
		}
	}
}

// forget gives up what is owed.
func (o *debts) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settles, o.owed = false, nil
	o.count.Store(0)
}

// first returns the one that is due first. It is owed until it has been tried, so that
// [debts.named] finds it meanwhile.
func (o *debts) first() (d debt, owes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.owed) == 0 {
		o.settles, o.owed = false, nil
		return d, false
	}
	return o.owed[0], true
}

// dropDue gives up all that are due.
func (o *debts) dropDue() {
	now := time.Now()
	o.drop(func(d debt) bool { return !d.due.After(now) })
}

// settled takes a release off the list.
func (o *debts) settled(c *call) { o.drop(func(d debt) bool { return d.call == c }) }

func (o *debts) drop(del func(d debt) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed = slices.DeleteFunc(o.owed, del)
	o.count.Store(int32(len(o.owed))) //nolint:gosec // at most maxDebts
}

// named returns the release of the value that a refusal names.
func (o *debts) named(mark string) (c *call, owed bool) {
	if o.count.Load() == 0 {
		return nil, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.owed {
		if o.owed[i].mark == mark {
			return o.owed[i].call, true
		}
	}
	return nil, false
}

// settleFirst asks again a node that has refused because of a value whose release it is
// owed: it answers now, and its own Locker is not to be refused by that.
func (v *visit) settleFirst(in vote, answered bool, err error) (vote, bool, error) {
	o, late := &v.grant.fleet.debts[v.node], in.late
	for range max(maxAsks, len(v.grant.train.Resources())) { // each refusal names one
		if err != nil || in.kind != refused {
			break
		}
		c, owed := o.named(in.more.mark)
		if !owed || v.script(c, nil).err != nil {
			break
		}
		o.settled(c)
		in, answered, err = v.ask(time.Now(), nil)
		in.late = late // a copy from before that may come yet
	}
	return in, answered, err
}
