package simulation

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
)

// A panicking context is one of the program's own that panics, once, when it is looked at
// on the goroutine that has made it.
type panicking struct {
	context.Context //nolint:containedctx // it is one

	goroutine string
	looks     atomic.Int64 // until it panics
}

// errPanics is what it panics with.
const errPanics = "the program's context panics"

// panicking makes a context of a call panicking, by chance.
func (k *worker) panicking(ctx context.Context) context.Context {
	if !chance(k.panics, 0.03) {
		return ctx
	}
	c := &panicking{Context: ctx, goroutine: goroutine()}
	c.looks.Store(1 + k.panics.Int64N(12))
	return c
}

// goroutine returns what names the present one.
func goroutine() string {
	b := make([]byte, 32)
	name, _, _ := bytes.Cut(b[:runtime.Stack(b, false)], []byte(" ["))
	return string(name)
}

func (c *panicking) look() {
	if goroutine() == c.goroutine && c.looks.Add(-1) == 0 {
		panic(errPanics)
	}
}

func (c *panicking) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

func (c *panicking) Err() error {
	c.look()
	return c.Context.Err()
}

func (c *panicking) Value(key any) any {
	c.look()
	return c.Context.Value(key)
}

// survives calls f, and goes on after the panic of a panicking context.
func (w *world) survives(f func()) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case errPanics:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.stats.Panics++
		default:
			panic(v)
		}
	}()
	f()
}
