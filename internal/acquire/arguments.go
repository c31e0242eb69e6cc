package acquire

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/text"
)

// Least is the shortest duration that is taken for one: what is shorter is a number whose
// unit was forgotten. WantLeast says so in an error.
const (
	Least     = time.Millisecond
	WantLeast = "at least 1ms (a bare number is nanoseconds: write 10*time.Second)"
)

// Terms is what the arguments of calls have to fit, by the options and the clients of their
// Locker. What does not is an error that says why, and nothing is sent then.
type Terms struct {
	Drift      float64       // the share of a TTL that is set aside
	NoScripts  bool          // none is run on the nodes
	Quarantine time.Duration // how long a node does not vote after a restart; 0 if it does
	Shards     []client.Shards
}

var errScriptlessToken = errors.New("WithFencing needs scripts, and New was given WithoutScripts")

// Options looks at what a Locker is given for its calls.
func (t *Terms) Options(c *lease.Config) error {
	switch {
	case t.NoScripts && c.Keep != 0:
		return errScriptlessToken
	case t.NoScripts && t.Quarantine != 0:
		return errors.New("WithRestartQuarantine needs scripts, and New was given WithoutScripts")
	}
	return nil
}

// Set returns resources sorted and without duplicates, as a list of its own.
func (t *Terms) Set(resources []string) ([]string, error) {
	if len(resources) == 0 {
		return nil, errors.New("no resources: want at least one")
	}
	if i := slices.Index(resources, ""); i >= 0 {
		return nil, fmt.Errorf("resource %d of %d is empty", i+1, len(resources))
	}
	all := slices.Clone(resources)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 1 {
		return all, nil
	}
	if t.NoScripts {
		return nil, fmt.Errorf("a lock on %d resources needs scripts, and New was given WithoutScripts", len(all))
	}
	if a, b, found := script.Clash(all); found {
		return nil, fmt.Errorf("resource %s is a key that belongs to resource %s", text.Quote(b), text.Quote(a))
	}
	for _, s := range t.Shards {
		if err := together(s, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// together returns an error if not all resources are sure to lie on one server.
func together(s client.Shards, resources []string) error {
	first := resources[0]
	for _, other := range resources[1:] {
		if s.Spread.Together(first, other) {
			continue
		}
		where := "may lie on different shards of the Ring"
		if s.Spread == client.BySlot {
			where = "lie in different slots of the Cluster"
		}
		return fmt.Errorf("resources %s and %s %s that client %d is: give all a common hash tag, a part in braces that alone decides, as in {order:42}:items and {order:42}:payment",
			text.Quote(first), text.Quote(other), where, s.Client+1)
	}
	return nil
}

// Call looks at a call for a lock on resources, and returns its ttl in whole milliseconds and
// the drift of that.
func (t *Terms) Call(resources []string, ttl time.Duration, c *Config) (ms, drift time.Duration, err error) {
	if ms, drift, err = t.TTL(ttl, &c.Config); err != nil {
		return 0, 0, err
	}
	if t.NoScripts && c.Keep != 0 {
		return 0, 0, errScriptlessToken
	}
	if err := t.outlasts(ms); err != nil {
		return 0, 0, err
	}
	for _, resource := range resources {
		if t.Quarantine != 0 && resource == script.Up {
			return 0, 0, fmt.Errorf("resource %s is a key that WithRestartQuarantine keeps", text.Quote(resource))
		}
		if c.Keep != 0 && !script.Tags(resource) {
			return 0, 0, fmt.Errorf("resource %s cannot have a fencing token: with a } and no hash tag, no counter can lie in its slot of a Cluster",
				text.Quote(resource))
		}
	}
	return ms, drift, nil
}

// Extension looks at the extension of a lock that was granted for own, as Call does.
func (t *Terms) Extension(ttl, own time.Duration, c *lease.Config) (ms, drift time.Duration, err error) {
	if ms, drift, err = t.TTL(ttl, c); err != nil {
		return 0, 0, err
	}
	if t.NoScripts && ms != own {
		return 0, 0, fmt.Errorf("ttl %v: without scripts, a lock is extended by its own TTL of %v", ms, own)
	}
	return ms, drift, t.outlasts(ms)
}

// TTL cuts ttl to whole milliseconds and returns its drift. It fails if nothing of the ttl
// would be left after that, or no time to extend it.
func (t *Terms) TTL(ttl time.Duration, c *lease.Config) (ms, drift time.Duration, err error) {
	if ttl < Least {
		return 0, 0, fmt.Errorf("ttl %v: want "+WantLeast, ttl)
	}
	ms = ttl.Truncate(time.Millisecond)
	drift = quorum.Drift(ms, t.Drift)
	switch {
	case ms <= drift:
		return 0, 0, fmt.Errorf("ttl %v: want more than its drift of %v", ttl, drift)
	case c.Limit != 0 && ms-drift <= lease.DueAfter(ms):
		return 0, 0, fmt.Errorf("ttl %v: its drift of %v leaves no time to extend it automatically", ttl, drift)
	case c.Keep > 0 && c.Keep/2 < ms:
		return 0, 0, fmt.Errorf("ttl %v: WithFencing(%v) keeps the counter for less than twice that", ttl, c.Keep)
	}
	return ms, drift, nil
}

// outlasts returns an error if a node that was restarted may vote again before what it has
// forgotten is over.
func (t *Terms) outlasts(ttl time.Duration) error {
	if t.Quarantine != 0 && ttl > t.Quarantine {
		return fmt.Errorf("ttl %v: WithRestartQuarantine(%v) is for locks of at most that", ttl, t.Quarantine)
	}
	return nil
}
