package node

import (
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// An Op is what a command does on a node.
type Op uint8

// Ops.
const (
	OpAcquire Op = iota + 1
	OpExtend
	OpRelease
	OpInspect // reads only; no Command does
)

func (o Op) String() string {
	return [...]string{OpAcquire: "acquire", OpExtend: "extend", OpRelease: "release", OpInspect: "inspect"}[o]
}

// A Command is one command for a number of nodes. Its arguments are built once; each node
// is sent a copy.
type Command struct {
	Script *script.Script
	Args   []any
	// Plain does the same without a line; nil unless this is for a gate.
	Plain *Command
	// Until is when the command has lost its purpose; zero means never.
	Until time.Time
	// TTL is for how long the value lasts from when a node does this; 0 if it leaves
	// that alone.
	TTL   time.Duration
	Op    Op
	Reply Reply
	// Native has a command of the server asked first that does the same where most likely
	// nobody else wants the resource, and Script what that does not do. It is for one resource.
	Native bool
	// Once keeps go-redis from sending the command again by itself. A release
	// whose reply was lost would find the value gone, and nobody could tell
	// that from a lock that somebody took away.
	Once bool
}

// A Reply is how the script of a command says yes.
type Reply uint8

// Replies.
const (
	IsOne  Reply = iota
	Counts       // by the number of the fencing counter
	Raises       // so too, and no as an extension does
)

// value returns the random value that the command is about, which is the first
// argument of every script.
func (c *Command) value() string { return script.First(c.Args).(string) }

// redact returns err without the lock's value in its text.
func (c *Command) redact(err error) error { return client.Redact(err, c.value()) }

// A wanted is a command that go-redis does not send again once it has been given up.
type wanted struct {
	givenUp atomic.Bool
	copied  atomic.Bool // it has failed once, and may have reached the node
}

// NoRetry is asked after each failure.
func (w *wanted) NoRetry() bool {
	w.copied.Store(true)
	return w.givenUp.Load()
}

// A wantedCmd is one that runs a script.
type wantedCmd struct {
	*redis.Cmd
	*wanted
}

// NoRetry is that of both.
func (c *wantedCmd) NoRetry() bool { return c.wanted.NoRetry() }

// A wantedSet is a native one.
type wantedSet struct {
	client.SetNX
	*wanted
}

// NoRetry is that of both.
func (c *wantedSet) NoRetry() bool { return c.wanted.NoRetry() }
