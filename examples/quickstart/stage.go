package main

import (
	"context"
	"errors"
	"fmt"
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
	crash   atomic.Bool // a worker has crashed
	long    atomic.Bool // the section that is extended by hand has begun
}

// demonstrate runs the whole thing and returns the number of overlaps. An error
// means that it could not begin.
func demonstrate(ctx context.Context, cfg config, screen screen) (overlaps int, err error) {
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
	end := s.journal.summarize(n, cfg)
	screen.close(s.journal, end)
	return end.overlaps, nil
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
	actors.Go(func() { s.breakNodes(ctx) })
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
	return fmt.Sprintf("%s, one lock %q with a TTL of %v, %s", counted(s.cfg.workers, "worker"), resource, s.cfg.ttl, servers)
}

// breakNodes freezes one node half way, for a while, and then stops another one.
func (s *stage) breakNodes(ctx context.Context) {
	if len(s.nodes.embedded) == 0 {
		s.journal.note("the nodes are yours: none will be stopped")
		return
	}
	const second, third = 1, 2
	if !pause(ctx, s.cfg.run/2) {
		return
	}
	thawed := s.journal.nodeFrozen(second, s.nodes.name(second), s.nodes.keepLine(second)) // first: its errors are expected
	thaw := s.nodes.freeze(second)
	went := pause(ctx, s.cfg.run/5)
	thaw()
	thawed()
	if !went || !pause(ctx, s.cfg.run/20) {
		return
	}
	s.journal.nodeStopped(third, s.nodes.name(third))
	s.nodes.stop(third)
}

func (s *stage) nodeFailed(_ context.Context, err *redlock.NodeError) {
	s.journal.nodeFailed(err.Node-1, s.nodes.name(err.Node-1), err.Err)
}

// work lets one worker contend for the lock again and again.
func (s *stage) work(ctx context.Context, worker int, locker *redlock.Locker) {
	for ctx.Err() == nil {
		s.journal.set(worker, waiting)
		err := locker.With(ctx, resource, s.cfg.ttl,
			func(held context.Context, lock *redlock.Lock) error {
				leave := s.journal.enter(held, worker)
				defer leave()
				if s.crashes() {
					s.dieWith(ctx, held, worker, leave)
					return nil
				}
				return s.section(held, worker, lock)
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

// crashes reports whether the worker that has just got the lock is the one that
// crashes: the first one after a tenth of the run.
func (s *stage) crashes() bool {
	return s.cfg.mayCrash() && s.journal.now() >= s.cfg.run/10 && s.crash.CompareAndSwap(false, true)
}

// dieWith is what the others see of a worker that crashes with the lock: it does
// not extend it, nor release it, nor come back.
func (s *stage) dieWith(ctx, held context.Context, worker int, leave func()) {
	pause(held, minWork)
	s.journal.crashed(worker, s.cfg.ttl)
	<-held.Done()
	leave()
	<-ctx.Done()
}

// section is what only one worker may do at a time.
func (s *stage) section(ctx context.Context, worker int, lock *redlock.Lock) error {
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
