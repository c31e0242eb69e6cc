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

// WithErrorHandler sets a function that is called when a term has ended before its time,
// with the error of fn or the loss of the term. Run calls it between two terms, never while
// fn runs, and waits for it. By default nobody is told. It is an error if handler is nil.
//
// It is not called for nodes that fail while Run waits; see [redlock.WithNodeErrorHandler].
// To hear why this process does not lead, give [WithLockOptions] a [redlock.WithMaxWait].
// After each such wait the handler is called with an error that matches
// [redlock.ErrContended] and names the leader, or with [redlock.ErrNoQuorum], and Run goes
// to the end of the line.
func WithErrorHandler(handler func(err error)) Option {
	return optionFunc(func(c *config) error {
		if handler == nil {
			return invalid("WithErrorHandler(nil): want a function")
		}
		c.onError = handler
		return nil
	})
}

// WithLockOptions sets options of the lock that stands for a term. They override those of
// [redlock.New] and of Run: [redlock.WithAutoExtend], [redlock.WithFencing] and
// [redlock.WithRetry] with [redlock.Forever]. [redlock.WithOwner] says who leads. A limit of
// WithAutoExtend ends a term with [redlock.ErrHoldLimit], as if it were lost. A Locker with
// [redlock.WithoutScripts] needs [redlock.WithoutFencing] here.
//
// With [redlock.WithoutAutoExtend] each term ends after its TTL. Of WithRetry only the delay
// counts, unless the count is 0: then Run does not wait in line, and makes one attempt after
// each pause. It is an error if an option is nil.
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
