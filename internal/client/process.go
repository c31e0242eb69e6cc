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
	And   any // the reply to the second command of the same packet; nil if there was none
}

// Process runs one command, which the client is given as a wrapper of it. Its result is
// what the command says and what the client's Process says together: an AutoPipeliner of
// the deferred kind returns from that before anything is sent, and reading the command
// waits for it.
//
// A client that panics has failed: nobody above this goroutine could recover, and
// go-redis v9 panics where a reply announces more than can be allocated.
func Process(ctx context.Context, client Client, cmd Cmd, as redis.Cmder) (a Answer) {
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

// A Pipeliner is a client that can send several commands in one packet.
type Pipeliner interface{ Pipeline() redis.Pipeliner }

// Together is Process of two commands in one packet, neither of which go-redis sends again.
// The answer is that to the first one; what becomes of the other is a hint.
func Together(ctx context.Context, c Pipeliner, cmd, and Cmd) (a Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = Answer{Err: Panicked(p)}
		}
	}()
	err := Pipelined(ctx, c, []redis.Cmder{SendOnce(cmd), SendOnce(and)})
	if a.Reply, a.Err = cmd.Result(); a.Err == nil && a.Reply == nil {
		a.Err = err
	}
	if a.Err != nil {
		_ = a.Err.Error() // that of a client's own type may panic, too
		return a
	}
	a.And, _ = and.Result()
	return a
}

// Each runs commands that only read, once each: in one packet where the client is one of
// go-redis' own, as the Process of another type would be passed over, else one after the
// other until one is not answered. There is an answer to each.
func Each(ctx context.Context, c Client, cmds []Cmd) []Answer {
	if p, ok := c.(Pipeliner); ok && Own(c) {
		return inOnePacket(ctx, p, cmds)
	}
	all := make([]Answer, len(cmds))
	var broken error
	for i, cmd := range cmds {
		if broken != nil {
			all[i].Err = broken
			continue
		}
		if all[i] = Process(ctx, c, cmd, SendOnce(cmd)); all[i].Err != nil && !IsReply(all[i].Err) {
			broken = all[i].Err
		}
	}
	return all
}

func inOnePacket(ctx context.Context, p Pipeliner, cmds []Cmd) (all []Answer) {
	all = make([]Answer, len(cmds))
	defer func() {
		if p := recover(); p != nil {
			for i := range all {
				all[i] = Answer{Err: Panicked(p)}
			}
		}
	}()
	list := make([]redis.Cmder, len(cmds))
	for i, cmd := range cmds {
		list[i] = SendOnce(cmd)
	}
	err := Pipelined(ctx, p, list)
	for i, cmd := range cmds {
		a := &all[i]
		if a.Reply, a.Err = cmd.Result(); a.Err == nil && a.Reply == nil {
			a.Err = err
		}
		if a.Err != nil {
			_ = a.Err.Error() // that of a client's own type may panic, too
		}
	}
	return all
}

// Pipelined sends commands together.
func Pipelined(ctx context.Context, c Pipeliner, cmds []redis.Cmder) error {
	pipeline := c.Pipeline()
	if err := pipeline.BatchProcess(ctx, cmds...); err != nil {
		return err
	}
	_, err := pipeline.Exec(ctx)
	return err
}

// Panicked returns the error for what a client has panicked with.
func Panicked(p any) error { return &panicError{fmt.Sprint("the client panicked: ", p)} }

// A Cmd is a command that tells what the node has replied, as [*redis.Cmd] and [SetNX] do.
type Cmd interface {
	redis.Cmder
	Result() (any, error)
}

// A SetNX is SET with NX. It is no [*redis.Cmd], as go-redis would take the nil of a key that
// is taken for an error, and have its hooks and its Limiter hear of one.
type SetNX struct{ *redis.BoolCmd }

// What SetNX replies: it has set the key, or it has not. It may not have been sent either.
const (
	IsSet  = int64(1)
	NotSet = int64(0)
)

// Result returns one of these.
func (c SetNX) Result() (any, error) {
	switch set, err := c.BoolCmd.Result(); {
	case err != nil:
		return nil, err
	case set:
		return IsSet, nil
	default:
		return NotSet, nil
	}
}

// A Once is a command that go-redis does not send again. It is what it wraps in all else, as
// the hooks of a program may look at what it can do.
type Once struct{ *redis.Cmd }

// An OnceSet is such a SET.
type OnceSet struct{ SetNX }

// NoRetry tells go-redis so.
func (Once) NoRetry() bool { return true }

// NoRetry tells go-redis so.
func (OnceSet) NoRetry() bool { return true }

// SendOnce returns cmd as one that go-redis does not send again.
func SendOnce(cmd Cmd) redis.Cmder {
	if set, ok := cmd.(SetNX); ok {
		return OnceSet{set}
	}
	return Once{cmd.(*redis.Cmd)} //nolint:forcetypeassert // there is no third one
}

// IsOnce reports whether cmd comes of SendOnce.
func IsOnce(cmd redis.Cmder) bool {
	switch cmd.(type) {
	case Once, OnceSet:
		return true
	default:
		return false
	}
}
