package round

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/script"
)

// A call is one command for a number of nodes. Its arguments are built once and
// shared by all of them; clients only read them.
type call struct {
	script *script.Script
	args   []any
	// plain does the same without a line; nil unless this is for a gate.
	plain *call
	// until is when the command has lost its purpose; zero means never.
	until time.Time
	op    Op
	reply reply
	// once keeps go-redis from sending the command again by itself. A release
	// whose reply was lost would find the value gone, and nobody could tell
	// that from a lock that somebody took away.
	once bool
}

// value returns the random value that the command is about, which is the first
// argument of every script.
func (c *call) value() string { return script.First(c.args).(string) }

// A vote is what one node made of a command.
type vote struct {
	kind    kind
	late    bool     // an earlier copy of the command, which is sent once, may have been applied
	slow    bool     // it came after the node timeout
	next    bool     // of a release at a gate: somebody waits, and is to have the resource next
	err     error    // of a failure
	counter int64    // of a grant: what the fencing counter stands at
	more    *details // of a refusal; of a release at a gate if somebody waits
}

// Details are apart from the vote, as most have none.
type details struct {
	// Of a refusal.
	mark string        // names the holder's value
	left time.Duration // how long the holder's key lasts; negative if it has no expiry
	rank int           // at a gate: how many are before; negative if not in the line
	came string        // at a gate: when the Locker came first

	told []any // of a release of several resources: which of them are to be somebody's next
}

// A reply is how the script of a call says yes.
type reply uint8

const (
	isOne  reply = iota
	counts       // by the number of the fencing counter
	raises       // so too, and no as an extension does
)

type kind uint8

const (
	none     kind = iota
	failed        // no answer, or an error
	granted       // acquire: the value is there
	refused       // acquire: another value is there
	extended      // extend: the value was there and lasts as long as asked
	gone          // extend: nothing is there
	taken         // extend: another value is there
	removed       // release: the value was there
	notOurs       // release: it was not
	skipped       // dropped before it was sent, or nothing to do
)

// redact returns err without the lock's value in its text: Redis quotes the
// arguments of a command it does not know, cut where they get long.
func (c *call) redact(err error) error {
	text := err.Error()
	clean := redacted(text, c.value())
	switch {
	case clean == text:
		return err
	case isReply(err):
		return replyError(clean)
	case unconnected(err):
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

// process runs one command. Its result is what the command says and what
// Process says together: an AutoPipeliner of the deferred kind returns from
// Process before anything is sent, and reading the command waits for it.
//
// A client that panics has failed: nobody above this goroutine could recover, and
// go-redis v9 panics where a reply announces more than can be allocated.
func process(ctx context.Context, client Client, cmd *redis.Cmd, once bool) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: &panicError{fmt.Sprint("the client panicked: ", p)}}
		}
	}()
	var cmder redis.Cmder = cmd
	if once {
		cmder = onceCmd{cmd}
	}
	if a.err = client.Process(ctx, cmder); a.err == nil {
		a.reply, a.err = cmd.Result()
	}
	if a.err != nil {
		_ = a.err.Error() // that of a client's own type may panic, too
	}
	return a
}

// A onceCmd is a command that go-redis does not send again.
type onceCmd struct{ *redis.Cmd }

func (onceCmd) NoRetry() bool { return true }

// read turns the reply to a call into a vote.
func (v *vote) read(c *call, reply any) error {
	if all, ok := reply.([]any); ok && c.op == OpRelease && c.plain != nil && len(all) >= 2 && all[1] == reservedMark {
		v.next, v.more, reply = true, &details{told: all[2:]}, all[0]
	}
	n, _ := reply.(int64)
	yes := n == 1 || n > 1 && c.reply != isOne
	switch op := c.op; {
	case op == OpAcquire && yes:
		v.kind = granted
		if c.reply != isOne {
			v.counter = n
		}
	case op == OpAcquire && c.reply != raises:
		return v.readRefusal(reply)
	case op == OpExtend && yes:
		v.kind = extended
	case op != OpRelease && n == -1:
		v.kind = gone
	case op != OpRelease && n == -2:
		v.kind = taken
	case op == OpRelease && n == 1:
		v.kind = removed
	case op == OpRelease && n == -1:
		v.kind = notOurs
	default:
		return unexpected(reply)
	}
	return nil
}

func (v *vote) readRefusal(reply any) error {
	fields, _ := reply.([]any)
	d := &details{rank: -1}
	switch len(fields) {
	case 2:
	case 4: // of a gate
		rank, ok := fields[2].(int64)
		came, isString := fields[3].(string)
		if !ok || !isString {
			return unexpected(reply)
		}
		d.rank, d.came = int(min(max(rank, -1), math.MaxInt32)), came
	default:
		return unexpected(reply)
	}
	left, ok := fields[0].(int64)
	mark, isString := fields[1].(string)
	if !ok || !isString {
		return unexpected(reply)
	}
	d.mark, d.left = mark, milliseconds(left)
	v.kind, v.more = refused, d
	return nil
}

// milliseconds returns n ms, at most what a Duration can be; -1 ms for any
// negative n.
func milliseconds(n int64) time.Duration {
	return time.Duration(max(min(n, math.MaxInt64/int64(time.Millisecond)), -1)) * time.Millisecond
}

func unexpected(reply any) error {
	if reply == nil {
		return errors.New("no reply was set: is the client a pipeline, or a stub?")
	}
	return fmt.Errorf("unexpected reply of type %T", reply)
}
