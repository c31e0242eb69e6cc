package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// ErrNoReturn is what a command has failed with whose goroutine its client has ended.
var ErrNoReturn = errors.New("the client did not return")

// An Answer is what a node, or the client for it, has said to a command.
type Answer struct {
	Reply any
	Err   error
}

// Process runs one command, which the client is given as a wrapper of it. Its result is
// what the command says and what the client's Process says together: an AutoPipeliner of
// the deferred kind returns from that before anything is sent, and reading the command
// waits for it.
//
// A client that panics has failed: nobody above this goroutine could recover, and
// go-redis v9 panics where a reply announces more than can be allocated.
func Process(ctx context.Context, client Client, cmd *redis.Cmd, as redis.Cmder) (a Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = Answer{Err: Panicked(p)}
		}
	}()
	if a.Err = client.Process(ctx, as); a.Err == nil {
		a.Reply, a.Err = cmd.Result()
	}
	if a.Err != nil {
		_ = a.Err.Error() // that of a client's own type may panic, too
	}
	return a
}

// Panicked returns the error for what a client has panicked with.
func Panicked(p any) error { return &panicError{fmt.Sprint("the client panicked: ", p)} }

// A Once is a command that go-redis does not send again.
type Once struct{ *redis.Cmd }

// NoRetry tells go-redis so.
func (Once) NoRetry() bool { return true }
