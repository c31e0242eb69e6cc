package redlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/acquire"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// A request is one call of Lock or of its kin.
type request struct {
	acquire.Request

	locker      *Locker
	onUnlockErr func(error) // of the options
}

func (l *Locker) newRequest(ctx context.Context, resource string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	if resource == "" {
		return request{}, invalid("empty resource")
	}
	return l.requestFor(lease.NewHold(l.locks, resource), ttl, opts)
}

func (l *Locker) newRequestAll(ctx context.Context, resources []string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	all, err := setOf(resources)
	if err != nil {
		return request{}, err
	}
	if len(all) == 1 {
		return l.newRequest(ctx, all[0], ttl, opts)
	}
	if l.config.noScript {
		return request{}, invalid("a lock on %d resources needs scripts, and New was given WithoutScripts", len(all))
	}
	if a, b, found := script.Clash(all); found {
		return request{}, invalid("resource %s is a key that belongs to resource %s", fault.Quote(b), fault.Quote(a))
	}
	for _, s := range l.shards {
		if err := s.check(all); err != nil {
			return request{}, err
		}
	}
	return l.requestFor(lease.NewHoldOfAll(l.locks, all), ttl, opts)
}

func (l *Locker) canLock(ctx context.Context) error {
	switch {
	case l == nil || l.locks == nil:
		return invalid("Locker was not made by New")
	case ctx == nil:
		return invalid("nil context")
	}
	return nil
}

// requestFor returns the call that is to make h a lock on its resources.
func (l *Locker) requestFor(h *lease.Hold, ttl time.Duration, opts []LockOption) (request, error) {
	call, err := l.config.call.with(opts)
	if err != nil {
		return request{}, err
	}
	ttl, drift, err := checkTTL(ttl, l.config.drift, &call.Config.Config)
	if err != nil {
		return request{}, err
	}
	switch {
	case l.config.noScript && call.Keep != 0:
		return request{}, errScriptlessToken()
	case l.outlasts(ttl):
		return request{}, l.errOutlasts(ttl)
	}
	for _, resource := range h.Resources {
		if l.config.restart != 0 && resource == script.Up {
			return request{}, invalid("resource %s is a key that WithRestartQuarantine keeps", fault.Quote(resource))
		}
		if call.Keep != 0 && !script.Tags(resource) {
			return request{}, invalid("resource %s cannot have a fencing token: with a } and no hash tag, no counter can lie in its slot of a Cluster",
				fault.Quote(resource))
		}
	}
	return request{acquire.NewRequest(&l.calls, h, ttl, drift, &call.Config), l, call.onUnlockErr}, nil
}

// outlasts reports whether a node that was restarted may vote again before what it has
// forgotten is over.
func (l *Locker) outlasts(ttl time.Duration) bool {
	return l.config.restart != 0 && ttl > l.config.restart
}

func (l *Locker) errOutlasts(ttl time.Duration) error {
	return invalid("ttl %v: WithRestartQuarantine(%v) is for locks of at most that", ttl, l.config.restart)
}

// run returns the lock or why there is none. The program's ctx and providers may panic, or
// call runtime.Goexit: then nothing is left, wherever that was.
func (r *request) run(ctx context.Context) (k *Lock, err error) {
	t, h := r.locker.telemetry, r.Hold
	h.Attrs = t.resourceAttributes(h.Resources[0])
	ctx, span := t.startOn(ctx, spanLock, h.Resources, r.TTL)
	h.Origin = span.SpanContext()
	returns := false
	defer func() {
		if !returns {
			r.Abandon(ctx)
		}
	}()
	err = errPanicked
	defer func() {
		t.endLock(ctx, span, r, err)
		returns = !errors.Is(err, errPanicked)
	}()
	if f := r.Run(ctx); f != nil {
		return nil, r.locker.lockError(f)
	}
	return newLock(r.locker, h), nil
}

// expected reports whether err is a refusal that a caller with one attempt
// reckons with.
func (r *request) expected(err error) bool {
	e, ok := errors.AsType[*LockError](err)
	return ok && r.Single() && e.cause == nil && e.Is(ErrContended)
}

// checkTTL cuts ttl to whole milliseconds and returns its drift. It fails if
// nothing of the ttl would be left after that, or no time to extend it.
func checkTTL(ttl time.Duration, driftFactor float64, c *lease.Config) (ms, drift time.Duration, err error) {
	if ttl < least {
		return 0, 0, invalid("ttl %v: want "+wantLeast, ttl)
	}
	ms = ttl.Truncate(time.Millisecond)
	drift = quorum.Drift(ms, driftFactor)
	switch {
	case ms <= drift:
		return 0, 0, invalid("ttl %v: want more than its drift of %v", ttl, drift)
	case c.Limit != 0 && ms-drift <= lease.DueAfter(ms):
		return 0, 0, invalid("ttl %v: its drift of %v leaves no time to extend it automatically", ttl, drift)
	case c.Keep != 0 && c.Keep != Forever && c.Keep/2 < ms:
		return 0, 0, invalid("ttl %v: WithFencing(%v) keeps the counter for less than twice that", ttl, c.Keep)
	}
	return ms, drift, nil
}

// setOf returns resources sorted and without duplicates, as a list of its own.
func setOf(resources []string) ([]string, error) {
	if len(resources) == 0 {
		return nil, invalid("no resources: want at least one")
	}
	if i := slices.Index(resources, ""); i >= 0 {
		return nil, invalid("resource %d of %d is empty", i+1, len(resources))
	}
	all := slices.Clone(resources)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// A shards is a client of several servers among which keys are spread.
type shards struct {
	client int
	spread client.Spread
}

// shardsOf returns one client of each kind: what they ask of resources is the same.
func shardsOf(nodes []client.Client) []shards {
	var all []shards
	for i, c := range nodes {
		spread := client.SpreadOf(c)
		if spread != client.Whole && !slices.ContainsFunc(all, func(s shards) bool { return s.spread == spread }) {
			all = append(all, shards{i, spread})
		}
	}
	return all
}

// check returns an error if not all resources are sure to lie on one server.
func (s shards) check(resources []string) error {
	first := resources[0]
	for _, other := range resources[1:] {
		if s.spread.Together(first, other) {
			continue
		}
		where := "may lie on different shards of the Ring"
		if s.spread == client.BySlot {
			where = "lie in different slots of the Cluster"
		}
		return invalid("resources %s and %s %s that client %d is: give all a common hash tag, a part in braces that alone decides, as in {order:42}:items and {order:42}:payment",
			fault.Quote(first), fault.Quote(other), where, s.client+1)
	}
	return nil
}

// nodeNames returns what every process that uses the nodes calls them, in
// whatever order it lists them: the databases that the clients' options name. Of
// those whose clients do not tell, as of Sentinel groups, the order counts.
func nodeNames(endpoints [][]client.Endpoint) []string {
	names, nameless := make([]string, len(endpoints)), 0
	for i, e := range endpoints {
		if len(e) > 0 {
			names[i] = fmt.Sprint(e)
		} else {
			names[i] = fmt.Sprint("node ", nameless)
			nameless++
		}
	}
	return names
}

// endpointsOf returns the endpoints of each node, or why the nodes cannot be used
// together.
func endpointsOf(nodes []client.Client) ([][]client.Endpoint, error) {
	all := make([][]client.Endpoint, len(nodes))
	for i, c := range nodes {
		if _, queues := c.(redis.Pipeliner); queues {
			return nil, invalid("client %d is a pipeline: it only queues commands", i+1)
		}
		var err error
		if all[i], err = client.Endpoints(c); err != nil {
			return nil, invalid("client %d cannot be used: %v", i+1, err)
		}
		for j, other := range nodes[:i] {
			if client.Same(c, other) || client.Overlap(all[i], all[j]) {
				return nil, invalid("clients %d and %d are the same node (%s): it would vote twice", j+1, i+1, client.Addr(all[i]))
			}
		}
	}
	return all, nil
}

// singleAddrs returns the address of each node that has a single one.
func singleAddrs(endpoints [][]client.Endpoint) []string {
	addrs := make([]string, len(endpoints))
	for i, e := range endpoints {
		if len(e) == 1 {
			addrs[i] = e[0].Addr
		}
	}
	return addrs
}

// invalid returns an error that matches ErrInvalidArgument and says what and why.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidArgument, fault.OneLine(fmt.Sprintf(format, args...)))
}

// An optionsError is what was wrong with the options of one call, or with the
// instruments of a provider.
type optionsError []error

func (e optionsError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e optionsError) Unwrap() []error { return e }

// join returns the errors that are not nil as one of a single line.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return optionsError(errs)
}
