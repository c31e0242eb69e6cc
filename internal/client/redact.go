package client

import (
	"errors"
	"strings"
)

// Redact returns err without value, a secret, in its text: Redis quotes the arguments of a
// command it does not know, cut where they get long. It stays what the functions of this
// package tell of it.
func Redact(err error, value string) error { return reworded(err, redacted(err.Error(), value)) }

// WithoutArguments returns err without those of a command that the server does not know. Of
// a login they are a password, which [Redact] takes out only if it is known.
func WithoutArguments(err error) error {
	before, _, _ := strings.Cut(err.Error(), ", with args beginning with")
	return reworded(err, before)
}

// reworded returns err with another text.
func reworded(err error, clean string) error {
	text := err.Error()
	switch {
	case clean == text:
		return err
	case IsReply(err):
		return replyError(clean)
	case Unconnected(err):
		return &connectError{clean}
	}
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return &panicError{clean}
	}
	return errors.New(clean)
}

// redacted returns text with [value] in place of value, and of what is left of
// it where it was cut.
func redacted(text, value string) string {
	const recognized = 8
	if value == "" { // as somebody else may have put at a key
		return text
	}
	var clean strings.Builder
	for {
		before, rest, found := strings.Cut(text, value[:min(len(value), recognized)])
		if !found {
			break
		}
		tail := value[min(len(value), recognized):]
		n := 0
		for n < min(len(tail), len(rest)) && rest[n] == tail[n] {
			n++
		}
		clean.WriteString(before + "[value]")
		text = rest[n:]
	}
	clean.WriteString(text)
	return clean.String()
}

// A panicError is what a client panicked with.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }

// A replyError is a Redis error whose text was changed.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a redis.Error.
func (replyError) RedisError() {}

// A connectError is what is told of an error that is unconnected and named a value.
type connectError struct{ text string }

func (e *connectError) Error() string { return e.text }
