package leader

import (
	"fmt"
	"math"
	"time"

	"github.com/b0401464/redlock"
)

// An Option configures a call of [Run].
type Option interface {
	apply(c *config) error
}

type config struct {
	lock    []redlock.LockOption
	onError func(error) // nil to ignore them
}

type optionFunc func(*config) error

func (f optionFunc) apply(c *config) error { return f(c) }

// newConfig returns what a Run with terms of ttl goes by.
func newConfig(ttl time.Duration, opts []Option) (config, error) {
	delay := min(max(ttl/4, time.Millisecond), time.Second)
	c := config{lock: []redlock.LockOption{
		redlock.WithAutoExtend(redlock.Forever),
		redlock.WithFencing(redlock.Forever),
		redlock.WithRetry(redlock.Forever, delay),
		redlock.WithMaxWait(math.MaxInt64), // in place of one that New was given
	}}
	for i, o := range opts {
		if o == nil {
			return config{}, invalid("option %d is nil", i+1)
		}
		if err := o.apply(&c); err != nil {
			return config{}, err
		}
	}
	return c, nil
}

// WithErrorHandler sets a function that is told why a term has ended before its time: what fn
// returned, or that the term was lost. Run calls it between two terms, never while fn runs,
// and waits for it. By default nobody is told. It is an error if handler is nil.
//
// It is not told of nodes that fail while Run waits; see [redlock.WithNodeErrorHandler]. To
// hear why this process does not lead, give [WithLockOptions] a [redlock.WithMaxWait]: every
// so often the handler then gets an error that matches [redlock.ErrContended] and names the
// leader, or [redlock.ErrNoQuorum], and Run goes to the end of the line.
func WithErrorHandler(handler func(err error)) Option {
	return optionFunc(func(c *config) error {
		if handler == nil {
			return invalid("WithErrorHandler(nil): want a function")
		}
		c.onError = handler
		return nil
	})
}

// WithLockOptions sets options of the lock that stands for a term, after the ones that
// [redlock.New] was given and those of Run: [redlock.WithAutoExtend], [redlock.WithFencing]
// and [redlock.WithRetry] with [redlock.Forever]. So [redlock.WithOwner] says who leads, and
// a limit of WithAutoExtend is how long a term lasts at most: it then ends with
// [redlock.ErrHoldLimit], as if it were lost. A Locker with [redlock.WithoutScripts] needs
// [redlock.WithoutFencing] here.
//
// With [redlock.WithoutAutoExtend] each term ends after its TTL. Of WithRetry only the delay
// counts, as WithMaxWait stands in place of the count, for ever if it is not given; but
// with a count of 0 Run does not wait in line: it makes one attempt after each pause. It is
// an error if an option is nil.
func WithLockOptions(opts ...redlock.LockOption) Option {
	return optionFunc(func(c *config) error {
		for i, o := range opts {
			if o == nil {
				return invalid("WithLockOptions: option %d is nil", i+1)
			}
		}
		c.lock = append(c.lock, opts...)
		return nil
	})
}

// invalid returns an error that matches ErrInvalidArgument and says what and why.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: leader: %s", redlock.ErrInvalidArgument, fmt.Sprintf(format, args...))
}
