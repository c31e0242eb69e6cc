package errors_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The validity is less than what a gate is waited for alone, so that nothing is left for the others.
func TestACallWhoseValidityIsShortIsToldWhatAMajoritySaysThoughItsGateHasJustFrozen(t *testing.T) {
	for _, c := range []struct {
		name            string
		ttl, trip, left time.Duration
		timeout         time.Duration
	}{
		{"default node timeout, ttl 20ms, 1ms away", 20 * time.Millisecond, time.Millisecond, 30 * time.Millisecond, 0},
		{"node timeout 1s, ttl 100ms, 30ms away", 100 * time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond, time.Second},
	} {
		for _, size := range []int{3, 5} {
			t.Run(fmt.Sprint(c.name, ", ", size, " nodes"), func(t *testing.T) {
				bad := 0
				var example error
				runs := 0
				for i := range 20 {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, size)
						gate, _ := rig.FindGate(t, nodes)
						_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
						require.NoError(t, err)
						var opts []redlock.Option
						if c.timeout > 0 {
							opts = append(opts, redlock.WithNodeTimeout(c.timeout))
						}
						l := rig.NewLocker(t, nodes, opts...)
						rig.WarmUp(t, l)
						for _, n := range nodes {
							n.Slow(c.trip)
						}
						ended := make(chan error, 1)
						const wait = time.Second
						go func() {
							_, err := l.Lock(t.Context(), "a", c.ttl, redlock.WithRetry(20, wait/20))
							ended <- err
						}()
						time.Sleep(wait - c.left*time.Duration(i+1)/20)
						gate.Freeze()
						err = <-ended
						runs++
						if err == nil {
							t.Fatal("locked")
						}
						if !errors.Is(err, redlock.ErrContended) {
							bad++
							example = err
						}
						gate.Thaw()
					})
				}
				assert.Zero(t, bad, "%d of %d, %v", bad, runs, example)
			})
		}
	}
}

// The first attempt asks the gate first, as the resource was contended a moment ago, and has no time left for others.
func TestACallWithAShortMaxWaitIsToldWhatAMajoritySaysThoughItsGateHasJustFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		short := func() error {
			_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(35*time.Millisecond))
			return err
		}
		for range 20 { // so that it is known how far away the nodes are
			require.ErrorIs(t, short(), redlock.ErrContended)
		}
		gate.Freeze()
		assert.ErrorIs(t, short(), redlock.ErrContended)
		gate.Thaw()
	})
}
