package leader_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
	"github.com/b0401464/redlock/test/rig"
)

func TestOneProcessAtATimeLeadsAndTheNextOneFollowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		type begun struct {
			who  int
			term leader.Term
		}
		leads := make(chan begun, 10)
		var one sync.Mutex
		var all []*process
		for i := range 3 {
			all = append(all, runFor(t, nodes, func(ctx context.Context, term leader.Term) error {
				if assert.True(t, one.TryLock(), "somebody else leads") {
					defer one.Unlock()
				}
				leads <- begun{i, term}
				<-ctx.Done()
				return nil
			}))
		}
		token := int64(0)
		for range all {
			asked := time.Now()
			b := <-leads
			assert.Less(t, time.Since(asked), 100*time.Millisecond, "it is told that it is next")
			assert.Greater(t, b.term.Token, token)
			assert.Equal(t, time.Now(), b.term.Since)
			token = b.term.Token
			time.Sleep(time.Minute)
			synctest.Wait()
			assert.Empty(t, leads, "a term lasts")
			all[b.who].stop()
			require.NoError(t, <-all[b.who].ended, "it was content")
		}
		requireVacant(t, nodes)
	})
}

func TestATermThatIsLostEndsItsContextAndRunStandsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		causes := make(chan error, 10)
		p := runFor(t, nodes, func(ctx context.Context, _ leader.Term) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil // not a reason to end
		})
		first := <-p.terms
		time.Sleep(time.Minute)
		nodes[0].Freeze()
		nodes[1].Freeze()
		cut := time.Now()
		require.ErrorIs(t, <-causes, redlock.ErrLockLost)
		assert.Less(t, time.Since(cut), ttl, "before anybody else can lead")
		require.ErrorIs(t, <-p.told, redlock.ErrLockLost)
		time.Sleep(5 * time.Minute)
		p.requireAlive(t)
		p.requireNoTerm(t)
		nodes[0].Thaw()
		nodes[1].Thaw()
		assert.Greater(t, (<-p.terms).Token, first.Token)
	})
}

func TestAProcessThatWasCutOffLeadsAgainAfterTheOneThatTookOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, untilOver)
		first := <-a.terms
		b := runFor(t, nodes, untilOver)
		b.requireNoTerm(t)
		for _, n := range nodes {
			n.Del(name) // by hand
		}
		second := <-b.terms
		assert.Greater(t, second.Token, first.Token)
		require.ErrorIs(t, <-a.told, redlock.ErrLockLost)
		a.requireAlive(t)
		time.Sleep(time.Minute)
		a.requireNoTerm(t)
		b.stop()
		assert.Greater(t, (<-a.terms).Token, second.Token)
	})
}

func TestNoTermBeginsBeforeTheFunctionOfTheLastOneHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		p := runFor(t, nodes, func(ctx context.Context, _ leader.Term) error {
			<-ctx.Done()
			time.Sleep(time.Hour) // in the process' own time
			return nil
		})
		<-p.terms
		for _, n := range nodes {
			n.Del(name)
		}
		time.Sleep(time.Hour) // the loss has been seen by the next extension
		p.requireNoTerm(t)
		<-p.terms
	})
}

func TestTheTermIsKeptUntilTheFunctionHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, func(ctx context.Context, _ leader.Term) error {
			<-ctx.Done()
			time.Sleep(time.Minute) // tidies up
			return rig.ErrBody
		})
		<-a.terms
		b := runFor(t, nodes, untilOver)
		a.stop()
		time.Sleep(time.Minute - time.Millisecond)
		b.requireNoTerm(t)
		require.Equal(t, rig.ErrBody, <-a.ended, "as it is")
		<-b.terms
		assert.Empty(t, a.told, "it is returned")
	})
}

func TestNilEndsRunAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, func(context.Context, leader.Term) error { return nil })
		require.NoError(t, <-a.ended)
		assert.Len(t, a.terms, 1)
		assert.Empty(t, a.told)
		requireVacant(t, nodes)
		<-runFor(t, nodes, untilOver).terms
	})
}

func TestAnErrorEndsTheTermAndNotRun(t *testing.T) {
	for text, err := range map[string]error{
		"of its own":                   rig.ErrBody,
		"of another lock":              redlock.ErrInvalidArgument,
		"of another Locker":            redlock.ErrShutdown,
		"of a context that it made":    context.Canceled,
		"of a call that timed out":     context.DeadlineExceeded,
		"of somebody who has the lock": redlock.ErrContended,
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				a := runFor(t, nodes, func(context.Context, leader.Term) error { return err })
				require.Equal(t, err, <-a.told, "as it is")
				b := runFor(t, nodes, untilOver)
				<-b.terms
				time.Sleep(20 * time.Second) // longer than any pause
				a.requireAlive(t)
				assert.Len(t, a.terms, 1, "the other one leads")
				b.stop()
				require.Equal(t, err, <-a.told)
			})
		})
	}
}

func TestAFunctionThatAlwaysFailsIsCalledLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		p := runFor(t, nodes, func(context.Context, leader.Term) error { return rig.ErrBody })
		last := <-p.terms
		for _, seconds := range []int{1, 2, 4, 8, 10, 10, 10} {
			most := time.Duration(seconds) * time.Second
			next := <-p.terms
			pause := next.Since.Sub(last.Since)
			assert.GreaterOrEqual(t, pause, most/2)
			assert.Less(t, pause, most+100*time.Millisecond, "nobody else has it")
			last = next
		}
	})
}

func TestAPauseIsShortAfterATermThatHasLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		terms := 0
		p := runFor(t, nodes, func(context.Context, leader.Term) error {
			if terms++; terms == 5 {
				time.Sleep(10 * time.Second)
			}
			return rig.ErrBody
		})
		for range 5 {
			<-p.terms
			require.Equal(t, rig.ErrBody, <-p.told)
		}
		failed := time.Now()
		assert.Less(t, (<-p.terms).Since.Sub(failed), 1100*time.Millisecond)
	})
}

func TestRunEndsWithItsContextAtOnce(t *testing.T) {
	type start func(t *testing.T, nodes []*rig.Node) *process
	for text, begin := range map[string]start{
		"while it waits for another one": func(t *testing.T, nodes []*rig.Node) *process {
			t.Helper()
			<-runFor(t, nodes, untilOver).terms
			return runFor(t, nodes, untilOver)
		},
		"while nodes are down": func(t *testing.T, nodes []*rig.Node) *process {
			t.Helper()
			nodes[0].Stop()
			nodes[1].Freeze()
			return runFor(t, nodes, untilOver)
		},
		"in a pause": func(t *testing.T, nodes []*rig.Node) *process {
			t.Helper()
			p := runFor(t, nodes, func(context.Context, leader.Term) error { return rig.ErrBody })
			for range 5 {
				require.Equal(t, rig.ErrBody, <-p.told)
			}
			return p
		},
		"while it leads": func(t *testing.T, nodes []*rig.Node) *process {
			t.Helper()
			p := runFor(t, nodes, func(ctx context.Context, _ leader.Term) error {
				<-ctx.Done()
				return ctx.Err()
			})
			<-p.terms
			return p
		},
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				p := begin(t, nodes)
				time.Sleep(time.Second)
				p.stop()
				stopped := time.Now()
				require.ErrorIs(t, <-p.ended, context.Canceled)
				assert.Less(t, time.Since(stopped), time.Millisecond)
				assert.Empty(t, p.told, "the caller knows")
			})
		})
	}
}

func TestNobodyLeadsUnderAContextThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := leader.Run(ctx, rig.NewLocker(t, nodes), name, ttl, func(context.Context, leader.Term) error { panic("called") })
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, rig.Sent(nodes))
	})
}

func TestRunEndsWithTheLockUnderWhoseContextItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		<-runFor(t, nodes, untilOver).terms
		l := rig.NewLocker(t, nodes)
		err := l.Do(t.Context(), "b", ttl, func(ctx context.Context) error {
			return leader.Run(ctx, l, name, ttl, untilOver, leader.WithErrorHandler(func(err error) {
				assert.Fail(t, "the caller knows", "%v", err)
			}))
		})
		require.ErrorIs(t, err, redlock.ErrLockLost)
		rig.RequireNotCancelled(t, err)
	})
}

func TestAPanicComesOutWhenTheTermHasBeenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		assert.PanicsWithValue(t, "oops", func() {
			_ = leader.Run(t.Context(), l, name, ttl, func(context.Context, leader.Term) error { panic("oops") })
		})
		requireVacant(t, nodes)

		left := make(chan struct{})
		go func() {
			defer close(left)
			_ = leader.Run(t.Context(), l, name, ttl, func(context.Context, leader.Term) error {
				runtime.Goexit()
				return nil
			})
			assert.Fail(t, "it went on")
		}()
		<-left
		requireVacant(t, nodes)
	})
}

func TestARunUnderADeadlineTellsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		<-runFor(t, nodes, untilOver).terms
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := leader.Run(ctx, rig.NewLocker(t, nodes), name, ttl, untilOver)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.True(t, e.Is(redlock.ErrContended), "and how things stood: %v", err)
	})
}
