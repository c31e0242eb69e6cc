package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// IsReply reports whether err came from the node and not from the way to it.
func IsReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// Unrun reports whether an error that a node has answered says that it has not begun to
// run the script. One that was raised by the script may come in the middle of it.
func Unrun(err error) bool {
	if !IsReply(err) {
		return false
	}
	switch code(err.Error()) {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MISCONF",
		"MOVED", "ASK", "CROSSSLOT", "NOAUTH", "NOSCRIPT", "QUARANTINE":
		return true
	}
	return redis.HasErrorPrefix(err, "max number of clients") // which passes over ERR
}

// Unknown reports whether an error that a node has answered says that it does not know the
// command, or that the user may not run it.
func Unknown(err error) bool {
	return IsReply(err) && (redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "unknown command"))
}

// Unconnected reports whether err says that the client had no connection to send a
// command on.
func Unconnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	_, known := errors.AsType[*connectError](err)
	return known || ok && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// Disconnected reports whether err says that a connection was lost, and not that it
// hangs.
func Disconnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && !op.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// ErrorType returns a name of low cardinality for what a client has failed with: "timeout",
// "panic", the code of a Redis error such as "LOADING", or the name of a Go type.
func ErrorType(err error) string {
	if _, ok := errors.AsType[*panicError](err); ok {
		return "panic"
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
