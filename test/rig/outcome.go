package rig

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// Outcomes counts what callers that got no lock were told.
type Outcomes struct {
	mu                           sync.Mutex
	Contended, NoQuorum, Neither int
	Example                      error
}

// Add counts what a call of Lock has returned.
func (c *Outcomes) Add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	contended, noQuorum := errors.Is(err, redlock.ErrContended), errors.Is(err, redlock.ErrNoQuorum)
	switch {
	case contended && noQuorum:
		c.Example = err
		c.Contended++
		c.NoQuorum++
	case contended:
		c.Contended++
	case noQuorum:
		c.NoQuorum++
		c.Example = err
	default:
		c.Neither++
	}
}

// Bounds are how a call's wait is bounded to d, and whether that is by its context.
var Bounds = map[string]func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc, redlock.LockOption){
	"MaxWait": func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc, redlock.LockOption) {
		return ctx, func() {}, redlock.WithMaxWait(d)
	},
	"retries": func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc, redlock.LockOption) {
		return ctx, func() {}, redlock.WithRetry(2, d/2)
	},
	"context": func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc, redlock.LockOption) {
		ctx, cancel := context.WithTimeout(ctx, d)
		return ctx, cancel, WaitForever
	},
}
