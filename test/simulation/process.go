package simulation

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/b0401464/redlock"
)

// A process is a Locker with clients and connections of its own.
type process struct {
	w       *world
	id      int
	locker  *redlock.Locker
	clients []*redis.Client
	links   []*link
	wall    time.Duration   // how far its wall clock is off
	plain   bool            // it runs no scripts
	deaf    bool            // it may not listen
	hasty   bool            // its clients have the options that docs/nodes.md recommends
	under   int             // node calls under way
	life    context.Context //nolint:containedctx // ends when it is killed
	end     context.CancelFunc
	closing bool // it is being shut down, or has died

	clock   clock
	stopped chan struct{} // closed when it goes on; nil if it is not stopped
	waits   []func()      // what it sends, and is sent, while it is stopped
	pauses  []pause

	self     string    // its Locker's name in the line; empty until a node has seen it
	troubles stretches // when something was wrong for it, in order
}

func newProcess(w *world) *process {
	p := &process{w: w, id: w.started}
	w.started++
	p.life, p.end = context.WithCancel(context.Background())
	random := w.random("process", p.id)
	p.hasty = chance(random, w.profile.hasty)
	p.wall = evenly(random, 0, w.profile.apart) - w.profile.apart/2
	for _, n := range w.nodes {
		l := newLink(p, n)
		p.links = append(p.links, l)
		p.clients = append(p.clients, p.connect(l))
	}
	w.links = append(w.links, p.links...)
	var opts []redlock.Option
	p.plain = chance(w.random("plain", p.id), w.profile.plain)
	p.deaf = chance(w.random("deaf", p.id), w.profile.deaf)
	switch {
	case p.plain:
		opts = append(opts, redlock.WithoutScripts())
	case p.id%2 == 1 || w.profile.fenced: // the others lock beside them
		opts = append(opts, redlock.WithFencing(w.profile.keep))
	}
	if p.id%3 > 0 {
		opts = append(opts, redlock.WithOwner(fmt.Sprint("process ", p.id)))
	}
	if d := w.profile.keeps; d != 0 {
		opts = append(opts, redlock.WithRestartQuarantine(d))
	}
	piped := p.id%4 > 1
	if piped {
		opts = append(opts, redlock.WithAutoPipeline())
	}
	locker, err := redlock.New(p.clients, opts...)
	if err != nil {
		panic(err) // the simulator is wrong
	}
	p.locker = locker
	p.clock.began, p.clock.random = w.began, w.random("clocks", p.id)
	if w.profile.stops > 0 || w.profile.leaps > 0 {
		p.clock.set(locker)
	}
	w.everybody = append(w.everybody, p)
	w.log("process %d begins, recommended client options: %t, in batches: %t, without scripts: %t, may listen: %t, its wall clock is off by %v", p.id, p.hasty, piped, p.plain, !p.deaf, p.wall)
	return p
}

// connect returns a client of a node. What is not set here is go-redis'
// default, as in most programs.
func (p *process) connect(l *link) *redis.Client {
	o := &redis.Options{
		Addr:   l.node.addr(), // literal: a host name cannot be resolved in a bubble
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) },
		// Waiting for a connection uses timers that go-redis shares between
		// bubbles, so nobody ever waits.
		PoolSize:                 5000,
		ReadBufferSize:           4096,
		WriteBufferSize:          4096,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if p.hasty {
		o.DialTimeout, o.DialerRetries, o.ReadTimeout, o.MaxRetries = time.Second, 1, time.Second, 1
	}
	c := redis.NewClient(o)
	if r := p.w.random("room", p.id, l.node.id); r.IntN(3) == 0 {
		c.Options().PoolSize = 1 + r.IntN(4) // which the library goes by
	}
	c.AddHook(&watcher{p, l.node.id})
	return c
}

// close closes the clients of a process whose Locker is shut down.
func (p *process) close() {
	p.end()
	for _, c := range p.clients {
		_ = c.Close()
	}
}

// A watcher notes the calls of the library on one client.
type watcher struct {
	process *process
	node    int
}

// DialHook changes nothing.
func (*watcher) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook notes when the calls of a batch begin and how they end.
func (x *watcher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		calls := make([]*call, len(cmds))
		for i, cmd := range cmds {
			calls[i] = x.begin(ctx, cmd)
		}
		x.batched(calls)
		err := next(ctx, cmds)
		for i, cmd := range cmds {
			if calls[i] != nil {
				x.end(calls[i], cmd, cmd.Err())
			}
		}
		return err
	}
}

// batched notes that calls go together. Those of go-redis itself are nil.
func (x *watcher) batched(calls []*call) {
	if calls[0] == nil {
		return
	}
	w := x.process.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Batches++
	w.stats.Batched += len(calls)
}

// ProcessHook notes when a call begins and how it ends.
func (x *watcher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c := x.begin(ctx, cmd)
		if c == nil {
			return next(ctx, cmd)
		}
		err := next(ctx, cmd)
		x.end(c, cmd, err)
		return err
	}
}

func (x *watcher) begin(ctx context.Context, cmd redis.Cmder) *call {
	var args []string
	for _, a := range cmd.Args() {
		args = append(args, fmt.Sprint(a))
	}
	read := newCommand(args)
	if read.op == other {
		return nil
	}
	w := x.process.w
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &call{process: x.process, node: x.node, op: read.op, ttl: read.ttl, about: w.valuesOf(&read), from: time.Now()}
	for _, v := range c.about {
		v.calls = append(v.calls, c)
		if waiter, ok := ctx.Value(waiterKey{}).(*waiter); ok && v.waiter == nil {
			v.waiter = waiter
		}
	}
	x.process.under++
	w.checkContexts(c)
	return c
}

func (x *watcher) end(c *call, cmd redis.Cmder, err error) {
	w := x.process.w
	w.mu.Lock()
	defer w.mu.Unlock()
	c.to, c.err = time.Now(), err
	if err == nil {
		c.says(cmd)
	}
	x.process.under--
	if err != nil && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		w.stats.Failed++
		for _, v := range c.about {
			w.events = append(w.events, event{
				at: time.Now(), kind: evFailed, node: x.node, process: x.process.id,
				value: v, command: &command{op: c.op}, text: err.Error(),
			})
		}
	}
}
