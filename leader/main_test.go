package leader_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }

const (
	name = "a"
	ttl  = 15 * time.Second
)

// A work is what a process does that leads.
type work = func(ctx context.Context, term leader.Term) error

// untilOver leads until the term is over, and is content.
func untilOver(ctx context.Context, _ leader.Term) error {
	<-ctx.Done()
	return nil
}

// A process runs for the lead.
type process struct {
	locker *redlock.Locker
	terms  chan leader.Term // that have begun
	told   chan error       // what the handler was told
	ended  chan error       // what Run returned
	stop   context.CancelFunc
}

// runFor has a process of its own run for the lead until the test ends.
func runFor(t *testing.T, nodes []*rig.Node, do work, opts ...leader.Option) *process {
	t.Helper()
	return runOn(t, rig.NewLocker(t, nodes), do, opts...)
}

func runOn(t *testing.T, l *redlock.Locker, do work, opts ...leader.Option) *process {
	t.Helper()
	const many = 1000
	ctx, stop := context.WithCancel(t.Context())
	p := &process{l, make(chan leader.Term, many), make(chan error, many), make(chan error, 1), stop}
	var running atomic.Int32
	opts = append([]leader.Option{leader.WithErrorHandler(func(err error) {
		assert.Zero(t, running.Load(), "the handler is called between terms")
		p.told <- err
	})}, opts...)
	go func() {
		p.ended <- leader.Run(ctx, l, name, ttl, func(ctx context.Context, term leader.Term) error {
			assert.EqualValues(t, 1, running.Add(1), "no term begins before the last one is over")
			defer running.Add(-1)
			p.terms <- term
			return do(ctx, term)
		}, opts...)
	}()
	t.Cleanup(stop)
	return p
}

// requireAlive requires that Run has not returned.
func (p *process) requireAlive(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-p.ended:
		require.Fail(t, "Run has ended", "%v", err)
	default:
	}
}

// requireNoTerm requires that the process has not led since.
func (p *process) requireNoTerm(t *testing.T) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, p.terms)
}

// requireVacant requires that nobody has the lock of the leader.
func requireVacant(t *testing.T, nodes []*rig.Node) {
	t.Helper()
	synctest.Wait()
	for _, n := range nodes {
		require.NotContains(t, n.Keys(), name)
	}
}
