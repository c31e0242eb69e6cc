package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/b0401464/redlock"
)

// errWrong reports that the story did not go as it always does.
var errWrong = errors.New("not as it should be")

const (
	opening = 100 // the balance at first
	first   = 50  // what each writer adds
	second  = 30

	// keep is how long the nodes remember the last token. A service would take
	// longer: as long as a holder may be paused.
	keep = time.Hour

	patience = 30 * time.Second // beyond the TTL, for everything
)

// A story is two writers that add to one balance. The first one is paused between
// its look at the context and its write, until its lock has run out and the
// second one has written.
type story struct {
	out      io.Writer
	db       *database
	nodes    *nodes
	ttl      time.Duration
	fenced   bool
	account  int
	resource string
	began    time.Time
}

func (s *story) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.ttl+patience)
	defer cancel()
	if err := s.db.open(ctx, s.account, opening); err != nil {
		return err
	}
	title := "Without tokens"
	if s.fenced {
		title = "With tokens"
	}
	s.print("\n%s\n", title)
	s.began = time.Now()
	if err := s.play(ctx); err != nil {
		return err
	}
	amount, err := s.db.read(ctx, s.account)
	if err != nil {
		return err
	}
	return s.conclude(amount)
}

func (s *story) play(ctx context.Context) error {
	var other error
	err := s.add(ctx, 1, first, func(ctx context.Context, lock *redlock.Lock) error {
		s.event("writer 1 is paused before it writes; its lock is valid for %v more", time.Until(lock.Until()).Round(time.Millisecond))
		if other = s.add(ctx, 2, second, nil); other != nil {
			return other
		}
		s.event("writer 1 wakes up, and writes what it was about to")
		return nil
	})
	lost, overtaken := errors.Is(err, redlock.ErrLockLost), errors.Is(err, errOvertaken)
	switch {
	case ctx.Err() != nil:
		return err
	case other != nil:
		return fmt.Errorf("writer 2: %w", other)
	case err != nil && !lost:
		return fmt.Errorf("writer 1: %w", err)
	case !lost || overtaken != s.fenced:
		return fmt.Errorf("%w: writer 1: %v", errWrong, err) //nolint:errorlint // it can be nil
	case overtaken:
		s.event("writer 1 is told, and begins again")
		return s.add(ctx, 1, first, nil)
	}
	s.event("writer 1 is told that its lock was over: too late")
	return nil
}

// add adds to the balance, under a lock, as a process of its own. What happens
// between the read and the write can be given.
func (s *story) add(ctx context.Context, writer, amount int, pause func(context.Context, *redlock.Lock) error) error {
	m, err := newMember(s.nodes, redlock.WithRetry(redlock.Forever, 100*time.Millisecond))
	if err != nil {
		return err
	}
	var opts []redlock.LockOption
	if s.fenced {
		opts = append(opts, redlock.WithFencing(keep))
	}
	err = m.locker.With(ctx, s.resource, s.ttl, func(held context.Context, lock *redlock.Lock) error {
		balance, err := s.read(held, writer, lock)
		if err != nil {
			return err
		}
		if pause != nil {
			if err := pause(ctx, lock); err != nil {
				return err
			}
			// What is paused in earnest, with all its timers, has looked at its
			// context before, or its write is on the way already. So this one,
			// which has ended, is no help.
			held = ctx
		}
		return s.write(held, writer, balance+amount, lock)
	}, nil, opts...)
	return errors.Join(err, m.close(ctx))
}

func (s *story) read(ctx context.Context, writer int, lock *redlock.Lock) (balance int, err error) {
	with := ""
	if s.fenced {
		balance, err = s.db.readFenced(ctx, s.account, lock.Token())
		with = fmt.Sprintf(" with token %d", lock.Token())
	} else {
		balance, err = s.db.read(ctx, s.account)
	}
	if err == nil {
		s.event("writer %d has the lock%s, and reads %d", writer, with, balance)
	}
	return balance, err
}

func (s *story) write(ctx context.Context, writer, balance int, lock *redlock.Lock) (err error) {
	if s.fenced {
		err = s.db.writeFenced(ctx, s.account, balance, lock.Token())
	} else {
		err = s.db.write(ctx, s.account, balance)
	}
	switch {
	case err == nil:
		s.event("writer %d writes %d", writer, balance)
	case errors.Is(err, errOvertaken):
		s.event("writer %d cannot write %d: UPDATE … AND fence <= %d changes no row", writer, balance, lock.Token())
	}
	return err
}

// conclude says what has become of the balance.
func (s *story) conclude(amount int) error {
	const right = opening + first + second
	want, verdict := opening+first, fmt.Sprintf("what writer 2 added is lost, and nobody knows. %d + %d + %d is %d.", opening, first, second, right)
	if s.fenced {
		want, verdict = right, "nothing is lost."
	}
	if amount != want {
		return fmt.Errorf("%w: the balance is %d", errWrong, amount)
	}
	s.print("The balance is %d: %s\n", amount, verdict)
	return nil
}

func (s *story) event(format string, args ...any) {
	s.print("%8.3fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *story) print(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format, args...) }
