package redsync

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/go-redsync/redsync/v4/redis"
)

// sockets returns where the servers listen. Tests set it.
var sockets func() []string

// A node is the client of go-redis for the server that a pool of redsync leads to, which may
// be one of another client library. The tests look at the servers through those.
type node struct {
	*goredis.Client
	answers atomic.Int64 // to scripts and to the commands that go in their place
}

var known struct {
	sync.Mutex
	byRun  map[string]*node // by the run_id of the server
	byPool map[redis.Pool]*node
}

// connect returns the nodes that the pools lead to, and a new Locker on them.
func connect(pools []redis.Pool, opts ...redlock.Option) ([]*node, *redlock.Locker, error) {
	var (
		nodes   []*node
		clients []*goredis.Client
	)
	for _, p := range pools {
		n, err := nodeOf(p)
		if err != nil {
			return nil, nil, err
		}
		nodes, clients = append(nodes, n), append(clients, n.Client)
	}
	locker, err := redlock.New(clients, opts...)
	return nodes, locker, err
}

// nodeOf finds the node of a pool by what its server says of itself.
func nodeOf(p redis.Pool) (*node, error) {
	known.Lock()
	defer known.Unlock()
	if known.byPool == nil {
		if err := dial(); err != nil {
			return nil, err
		}
	}
	if n := known.byPool[p]; n != nil {
		return n, nil
	}
	conn, err := p.Get(context.Background())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	info, err := conn.Eval(redis.NewScript(0, "return redis.call('INFO', 'server')", ""))
	if err != nil {
		return nil, err
	}
	n := known.byRun[runID(info)]
	if n == nil {
		return nil, fmt.Errorf("no server of the tests: %v", info)
	}
	known.byPool[p] = n
	return n, nil
}

// dial makes a client for each server.
func dial() error {
	known.byRun, known.byPool = make(map[string]*node), make(map[redis.Pool]*node)
	for _, path := range sockets() {
		n := &node{Client: goredis.NewClient(&goredis.Options{Network: "unix", Addr: path})}
		info, err := n.Info(context.Background(), "server").Result()
		if err != nil {
			return err
		}
		known.byRun[runID(info)] = n
		n.AddHook(n)
	}
	return nil
}

func runID(info any) string {
	text, ok := info.(string)
	if b, isBytes := info.([]byte); isBytes {
		text, ok = string(bytes.Clone(b)), true
	}
	if !ok {
		return ""
	}
	return regexp.MustCompile(`run_id:\w+`).FindString(text)
}

// DialHook dials.
func (*node) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessPipelineHook is for batches, of which there are none.
func (*node) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// ProcessHook counts answers. NOSCRIPT is none: the script comes after it.
func (n *node) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		switch name := strings.ToLower(cmd.Name()); {
		case !strings.HasPrefix(name, "eval") && name != "set":
		case !goredis.HasErrorPrefix(err, "NOSCRIPT"):
			n.answers.Add(1)
		}
		return err
	}
}
