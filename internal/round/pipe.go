package round

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A pipe is a client whose commands go through a pipeliner: what many callers want
// at once is sent in one batch.
type pipe struct {
	client Client
	auto   *redis.AutoPipeliner
	own    bool // nobody else uses the pipeliner
}

// Process runs a command. Somebody else can have closed the pipeliner, and a lock can
// be unlocked again after Shutdown has: the client does it then.
func (p *pipe) Process(ctx context.Context, cmd redis.Cmder) error {
	if p.auto.IsClosed() {
		return p.client.Process(ctx, cmd)
	}
	return p.auto.Process(ctx, cmd)
}

// newPipe returns a pipe of a client, nil if it has no pipeliners. Other types than
// those of go-redis are left alone even if they embed one: their Process would be
// passed over.
func newPipe(client Client) (p *pipe, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("its AutoPipeline panicked: %v", r)
		}
	}()
	switch c := client.(type) {
	case *redis.Client:
		// A client has one pipeliner, which the program or another Locker may use,
		// so this is that of a copy. They share their connections.
		auto, err := c.WithTimeout(c.Options().ReadTimeout).AutoPipeline()
		return &pipe{c, auto, true}, err
	case *redis.ClusterClient:
		auto, err := c.AutoPipeline()
		return &pipe{c, auto, false}, err
	default:
		return nil, nil
	}
}

// EnablePipes has the commands for each client that has pipeliners go through one. It
// sends nothing. If it fails for a client, it tells which one, and has changed nothing.
func (f *Fleet) EnablePipes() (client int, err error) {
	pipes := make([]*pipe, len(f.clients))
	for i, c := range f.clients {
		if pipes[i], err = newPipe(c); err != nil {
			closePipes(pipes[:i])
			return i, err
		}
	}
	for i, p := range pipes {
		if p != nil {
			f.ways[i] = way{p, true}
		}
	}
	f.pipes = pipes
	return 0, nil
}

// ClosePipes ends what EnablePipes began, once no node call is open.
func (f *Fleet) ClosePipes() { closePipes(f.pipes) }

// closePipes closes the pipeliners that nobody else can use. An idle one has nothing to
// flush, and a second call does nothing.
func closePipes(pipes []*pipe) {
	for _, p := range pipes {
		if p != nil && p.own {
			_ = p.auto.Close()
		}
	}
}

// A way is how the commands for a node get there.
type way struct {
	client Client
	// batched says that commands share batches. go-redis repeats a batch as a whole
	// if it repeats its commands, and splits it where some are not to be repeated:
	// so none is, there.
	batched bool
}

func newWays(clients []Client) []way {
	ways := make([]way, len(clients))
	for i, c := range clients {
		_, batched := c.(*redis.AutoPipeliner)
		ways[i] = way{c, batched}
	}
	return ways
}

// sentOnce reports whether go-redis is kept from sending the command to the node again.
func (f *Fleet) sentOnce(c *call, node int) bool { return c.once || f.ways[node].batched }
