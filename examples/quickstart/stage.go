package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock"
)

// resource is what the workers contend for. It is the key on the nodes, too:
// two quickstarts on the same servers exclude each other.
const resource = "redlock:quickstart"

// How long a worker works and rests: shorter than a glance, so that the lock
// goes from hand to hand, and longer than a cell of the picture mostly.
const (
	minWork = 50 * time.Millisecond
	maxWork = 250 * time.Millisecond
	minRest = 100 * time.Millisecond
	maxRest = 400 * time.Millisecond
)

// A stage is one run.
type stage struct {
	cfg     config
	nodes   *nodes
	journal *journal
	long    atomic.Bool // the section that is extended by hand has begun
}

// demonstrate runs the whole thing and returns the number of overlaps. An error
// means that it could not begin.
func demonstrate(ctx context.Context, cfg config, stdout io.Writer, screen screen) (overlaps int, err error) {
	n, err := startNodes(cfg.addrs)
	if err != nil {
		return 0, err
	}
	defer n.close()
	s := &stage{cfg: cfg, nodes: n, journal: newJournal(cfg.workers, len(n.addrs))}

	members, err := s.gather(ctx)
	if err != nil {
		return 0, errors.Join(err, dismiss(ctx, members))
	}
	s.play(ctx, members, screen)
	if err := dismiss(ctx, members); err != nil {
		s.journal.note("shutdown: %v", err)
	}
	screen.close(s.journal)
	return s.journal.summarize(stdout, n), nil
}

// gather makes one member per worker. They share neither a Locker nor a
// client, as if each were a process of its own: all they have in common is what
// the nodes say.
func (s *stage) gather(ctx context.Context) ([]*member, error) {
	var members []*member
	for range s.cfg.workers {
		m, err := newMember(s.nodes, s.nodeFailed)
		if err != nil {
			return members, err
		}
		members = append(members, m)
	}
	return members, members[0].probe(ctx, s.nodes, s.cfg.ttl)
}

// play lets the workers work until the time is over or ctx ends.
func (s *stage) play(ctx context.Context, members []*member, screen screen) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.run)
	defer cancel()
	s.journal.begin(s.describe())

	ended := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() { keepDrawing(screen, s.journal, ended) })

	var actors sync.WaitGroup
	for i, m := range members {
		actors.Go(func() { s.work(ctx, i, m.locker) })
	}
	actors.Go(func() { s.stopNode(ctx) })
	actors.Wait()

	s.journal.end()
	close(ended)
	shown.Wait()
}

func (s *stage) describe() string {
	servers := fmt.Sprintf("%d embedded nodes", embeddedNodes)
	if len(s.cfg.addrs) > 0 {
		servers = "nodes " + strings.Join(s.cfg.addrs, ", ")
	}
	return fmt.Sprintf("%d workers, one lock %q with a TTL of %v, %s", s.cfg.workers, resource, s.cfg.ttl, servers)
}

// stopNode stops one node half way.
func (s *stage) stopNode(ctx context.Context) {
	if len(s.nodes.embedded) == 0 {
		s.journal.note("the nodes are yours: none will be stopped")
		return
	}
	if !pause(ctx, s.cfg.run/2) {
		return
	}
	const second = 1
	s.journal.nodeStopped(second, s.nodes.name(second)) // first: its errors are expected
	s.nodes.stop(second)
}

func (s *stage) nodeFailed(_ context.Context, err *redlock.NodeError) {
	s.journal.nodeFailed(err.Node-1, s.nodes.name(err.Node-1), err.Err)
}

// work lets one worker contend for the lock again and again.
func (s *stage) work(ctx context.Context, worker int, locker *redlock.Locker) {
	for ctx.Err() == nil {
		s.journal.set(worker, waiting)
		err := locker.With(ctx, resource, s.cfg.ttl,
			func(ctx context.Context, lock *redlock.Lock) error {
				return s.section(ctx, worker, lock)
			},
			func(err error) { s.journal.note("worker %d could not release: %v", worker+1, err) },
		)
		s.journal.set(worker, idle)
		if err != nil && ctx.Err() == nil {
			s.journal.failed(worker, err)
		}
		pause(ctx, between(minRest, maxRest))
	}
}

// section is what only one worker may do at a time.
func (s *stage) section(ctx context.Context, worker int, lock *redlock.Lock) error {
	leave := s.journal.enter(ctx, worker)
	defer leave()
	// The first worker that gets the lock in the second quarter keeps it.
	if s.journal.now() >= s.cfg.run/4 && s.long.CompareAndSwap(false, true) {
		return s.outlive(ctx, worker, lock)
	}
	pause(ctx, min(between(minWork, maxWork), s.cfg.ttl/4))
	return nil
}

// outlive works longer than the TTL and extends the lock in time. It is over by
// half way if the TTL is too long for that.
func (s *stage) outlive(ctx context.Context, worker int, lock *redlock.Lock) error {
	length := min(s.cfg.ttl*5/4, s.cfg.run/4)
	if !pause(ctx, length*2/5) {
		return nil
	}
	if err := lock.Extend(ctx, s.cfg.ttl); err != nil {
		return err
	}
	s.journal.extend(worker, s.cfg.ttl)
	pause(ctx, length*3/5)
	return nil
}

func between(low, high time.Duration) time.Duration {
	return low + rand.N(high-low) //nolint:gosec // a show, no secret
}

// pause waits for d and reports whether it did, or ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
