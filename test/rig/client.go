package rig

import (
	"context"
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A Quitter is a client that ends its goroutine instead of returning.
type Quitter struct{ _ int }

// Process ends the goroutine.
func (*Quitter) Process(context.Context, redis.Cmder) error {
	runtime.Goexit()
	return nil
}

// A Stub answers every command with its reply; it must not be compared.
type Stub struct {
	Reply any
	_     []int
}

// Process answers cmd.
func (s Stub) Process(_ context.Context, cmd redis.Cmder) error {
	if c, ok := cmd.(interface{ SetVal(any) }); ok && s.Reply != nil {
		c.SetVal(s.Reply)
	}
	return nil
}

// Err returns the error of a call that returns something else, too.
func Err[T any](_ T, err error) error { return err }

// A CustomClient has nothing but what is asked of a client.
type CustomClient struct {
	Do func(context.Context, redis.Cmder) error
}

// Process does what Do says.
func (c CustomClient) Process(ctx context.Context, cmd redis.Cmder) error { return c.Do(ctx, cmd) }

// AutoPipeline returns an AutoPipeliner of each client, closed when t ends.
func AutoPipeline(t *testing.T, clients []*redis.Client, build func(*redis.Client) (*redis.AutoPipeliner, error)) []*redis.AutoPipeliner {
	t.Helper()
	all := make([]*redis.AutoPipeliner, len(clients))
	for i, c := range clients {
		p, err := build(c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		all[i] = p
	}
	return all
}
