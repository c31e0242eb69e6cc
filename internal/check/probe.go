package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
)

// A probe asks one node. It runs on a goroutine of its own that waits for nothing for longer
// than three node timeouts. The client may: each command has another goroutine, which the Setup
// counts.
type probe struct {
	*check

	node    *finding.Node
	set     settings
	index   int
	client  client.Client
	arrived bool
	began   time.Time     // when the lock was first asked for
	holds   bool          // the lock of the check may be there
	late    bool          // the server was asked in vain to have it on disk
	end     chan struct{} // closed when the probe has ended
}

func (p *probe) run() {
	defer close(p.end)
	defer p.meet()
	if p.look(); !p.gone() {
		p.try()
	}
}

// gone reports whether the node is not to be asked any more.
func (p *probe) gone() bool { return p.node.Err != nil || p.node.Silent > 0 || p.node.Cut }

// meet says that the lock has been asked for, or cannot be.
func (p *probe) meet() {
	if !p.arrived {
		p.arrived = true
		p.arrive()
	}
}

// await returns what f does on a goroutine of its own. It reports false if that takes longer
// than patience, or the check is over.
func (p *probe) await(patience time.Duration, f func() client.Answer) (a client.Answer, ok bool) {
	result := make(chan client.Answer, 1)
	p.Go(func() {
		a := client.Answer{Err: client.ErrNoReturn} // if the client ends the goroutine
		defer func() {
			if r := recover(); r != nil {
				a.Err = client.Panicked(r)
			}
			result <- a
		}()
		client.GrowStack()
		a = f()
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-result:
		a.Err = p.set.clean(a.Err)
		return a, true
	case <-timer.C:
		p.node.Silent = patience
	case <-p.over:
		p.node.Cut = true
	}
	return client.Answer{}, false
}

// ask runs one command. It reports false if the node is not to be asked any more, as it has
// not answered or its client cannot get there.
func (p *probe) ask(args ...any) (client.Answer, bool) {
	patience := p.Timeout
	if !p.node.Answered {
		patience = max(2*p.Timeout, min(3*p.Timeout, dials))
	}
	return p.process(patience, func() client.Answer { return once(p.ctx, p.client, args...) })
}

// dials is for how long go-redis tries by default to connect to an address where nobody listens,
// and some more, until it says so.
const dials = 700 * time.Millisecond

// once runs a command that go-redis does not send again, so that an address where nobody
// listens is told of at once.
func once(ctx context.Context, c client.Client, args ...any) client.Answer {
	cmd := redis.NewCmd(ctx, args...)
	return client.Process(ctx, c, cmd, client.SendOnce(cmd))
}

// process is ask for what sends one command or one packet, and waits for that long.
func (p *probe) process(patience time.Duration, f func() client.Answer) (client.Answer, bool) {
	if p.gone() {
		return client.Answer{}, false
	}
	for left := repeats; ; left-- {
		sent := time.Now()
		a, ok := p.await(patience, f)
		if !ok || left == 0 || !stale(a.Err) {
			return a, ok && p.answered(a, time.Since(sent))
		}
	}
}

// repeats is how often a command is sent again that a lost connection has taken along. A
// server that has restarted leaves such connections to its clients.
const repeats = 3

func stale(err error) bool { return client.Disconnected(err) && !client.Unconnected(err) }

// answered takes note of an answer. It reports false if it is none of the node.
func (p *probe) answered(a client.Answer, took time.Duration) bool {
	n := p.node
	if a.Err != nil && !client.IsReply(a.Err) {
		n.Err = a.Err
		return false
	}
	n.Answered = true
	if n.RoundTrip == 0 || took < n.RoundTrip {
		n.RoundTrip = max(took, 1)
	}
	return true
}

// look asks the servers of the node what they are.
func (p *probe) look() {
	n := p.node
	each := eachOf(p.client)
	if each == nil {
		one := finding.Server{Addr: n.Addr}
		lookAt(&one, p.Wall, func(name string) (client.Answer, bool) {
			a, ok := p.ask(name)
			if ok && finding.LoginRefused(a.Err) {
				n.Err = a.Err
			}
			return a, ok && n.Err == nil
		})
		n.Servers = []finding.Server{one}
		return
	}
	var all servers
	a, ok := p.await(2*p.Timeout, func() client.Answer {
		return client.Answer{Err: each(p.ctx, func(_ context.Context, c *redis.Client) error {
			all.look(p, c)
			return nil
		})}
	})
	n.Servers = all.list()
	for _, s := range n.Servers {
		n.Answered = n.Answered || s.Answered
	}
	switch {
	case ok && len(n.Servers) == 0 && a.Err != nil:
		n.Err = a.Err // it does not know of any
	case n.Answered && !n.Cut:
		n.Silent = 0 // the server of the check's key may answer
	}
}

// eachOf returns what calls a function with a client for each server that has keys, or nil
// for a client of one server.
func eachOf(c client.Client) func(context.Context, func(context.Context, *redis.Client) error) error {
	switch c := c.(type) {
	case interface {
		ForEachMaster(ctx context.Context, f func(context.Context, *redis.Client) error) error
	}:
		return c.ForEachMaster
	case *redis.Ring:
		return c.ForEachShard
	default:
		return nil
	}
}

// servers are those of a node, as they are told. It is safe for concurrent use.
type servers struct {
	mu  sync.Mutex
	all []*finding.Server
}

// list returns what is known by now.
func (s *servers) list() []finding.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]finding.Server, len(s.all))
	for i, one := range s.all {
		all[i] = *one
	}
	slices.SortFunc(all, func(a, b finding.Server) int { return cmp.Compare(a.Addr, b.Addr) })
	return all
}

// look asks one server. The goroutine is one of the client's.
func (s *servers) look(p *probe, c *redis.Client) {
	addr := c.Options().Addr
	told := &finding.Server{Addr: addr, Pending: true}
	s.mu.Lock()
	s.all = append(s.all, told)
	s.mu.Unlock()
	one := finding.Server{Addr: addr}
	lookAt(&one, p.Wall, func(name string) (client.Answer, bool) {
		a := once(p.ctx, c, name)
		for left := repeats; left > 0 && stale(a.Err); left-- {
			a = once(p.ctx, c, name)
		}
		a.Err = p.set.clean(a.Err)
		return a, a.Err == nil || client.IsReply(a.Err)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	*told = one
}

// times is how often a server is asked for its time: the first answer may have taken a
// connection to be made.
const times = 3

// lookAt asks a server for its time and for what it is. ask reports false if it is not to be
// asked any more.
func lookAt(s *finding.Server, wall func() time.Time, ask func(name string) (client.Answer, bool)) {
	for i := range times {
		sent := wall()
		a, ok := ask("time")
		took := wall().Sub(sent)
		s.Answered = s.Answered || ok
		if !ok {
			s.Err, s.Pending = a.Err, a.Err == nil
			return
		}
		if i > 0 && !s.Timed {
			continue // it does not tell, but how far away it is
		}
		at, ok := timeOf(a)
		if half := took / 2; ok && took >= 0 && (!s.Timed || half < s.Uncertain) {
			s.Timed, s.Ahead, s.Uncertain = true, at.Sub(sent.Add(half)), half
		}
	}
	a, ok := ask("info")
	text, _ := a.Reply.(string)
	if s.Err, s.Pending = a.Err, !ok && a.Err == nil; ok && a.Err == nil {
		s.Info = finding.ParseInfo(text)
	}
}

// timeOf returns what TIME has answered.
func timeOf(a client.Answer) (time.Time, bool) {
	parts, _ := a.Reply.([]any)
	if a.Err != nil || len(parts) != 2 {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(fmt.Sprint(parts[0]), 10, 64)
	micros, err2 := strconv.ParseInt(fmt.Sprint(parts[1]), 10, 64)
	if err != nil || err2 != nil {
		return time.Time{}, false
	}
	return time.Unix(seconds, micros*1000), true
}
