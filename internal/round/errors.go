package round

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/lane"
)

var errNoReturn = errors.New("the client did not return")

var errBehind = errors.New("no answer yet to an earlier command of this lock")

// A silentError says that a node did not answer.
type silentError struct {
	silent time.Duration
	full   bool    // it was not asked because enough calls wait for it
	last   *string // its last error, if any
}

func (e *silentError) Error() string {
	text := fmt.Sprintf("no answer within %v", e.silent.Round(time.Millisecond))
	if e.full {
		text += fmt.Sprintf(", not asked as %d calls wait already", lane.Limit)
	}
	if e.last != nil {
		text += "; its last error: " + *e.last
	}
	return text
}

// A panicError is what a client panicked with.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }

// A replyError is a Redis error whose text was changed.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a redis.Error.
func (replyError) RedisError() {}

// isReply reports whether err came from the node and not from the way to it.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// unconnected reports whether err says that the client had no connection to send a
// command on.
func unconnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	_, known := errors.AsType[*connectError](err)
	return known || ok && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// disconnected reports whether err says that a connection was lost, and not that it
// hangs.
func disconnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && !op.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// A connectError is what is told of an error that is unconnected and named a value.
type connectError struct{ text string }

func (e *connectError) Error() string { return e.text }

// ErrorType returns a name of low cardinality for the failure of a node:
// "no_answer", "timeout", "panic", the code of a Redis error such as "LOADING",
// or the name of a Go type.
func ErrorType(err error) string {
	if _, ok := errors.AsType[*panicError](err); ok {
		return "panic"
	}
	if _, ok := errors.AsType[*silentError](err); ok || errors.Is(err, errBehind) {
		return "no_answer"
	}
	if e, ok := errors.AsType[redis.Error](err); ok {
		return code(e.Error())
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "timeout"
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// code returns the code that a Redis error begins with, "ERR" if it has none.
func code(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if first == "" || len(first) > 20 || strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return first
}
