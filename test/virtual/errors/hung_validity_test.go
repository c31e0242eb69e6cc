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

// The last attempt asks a majority of the holder's nodes, and waits for one that hangs until the
// validity is over: no other is asked.
func TestACallWhoseValidityIsShortIsToldWhatAMajoritySaysThoughANodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, c := range []struct {
		name         string
		ttl, timeout time.Duration
		window       time.Duration
		far          bool
	}{
		{"ttl 20ms, default node timeout", 20 * time.Millisecond, 0, 48 * time.Millisecond, false},
		{"ttl 300ms, node timeout 1s, a far node that has failed once", 300 * time.Millisecond, time.Second, 900 * time.Millisecond, true},
		{"control: ttl 10s", 10 * time.Second, 0, 900 * time.Millisecond, false},
		{"control: ttl 10s, a far node that has failed once", 10 * time.Second, 0, 900 * time.Millisecond, true},
	} {
		for which := range 2 {
			t.Run(fmt.Sprint(c.name, ", ", which), func(t *testing.T) {
				bad, runs := 0, 0
				var example error
				for i := range 20 {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, 3)
						_, others := rig.FindGate(t, nodes)
						_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
						require.NoError(t, err)
						var opts []redlock.Option
						if c.timeout > 0 {
							opts = append(opts, redlock.WithNodeTimeout(c.timeout))
						}
						l := rig.NewLocker(t, nodes, opts...)
						rig.WarmUp(t, l)
						for _, n := range nodes {
							n.Slow(time.Millisecond)
						}
						x := others[which]
						if c.far {
							x.Slow(60 * time.Millisecond)
						}
						ended := make(chan error, 1)
						const wait = 3 * time.Second
						go func() {
							_, err := l.Lock(t.Context(), "a", c.ttl, redlock.WithRetry(60, wait/60))
							ended <- err
						}()
						time.Sleep(wait / 2)
						if c.far {
							x.Down()
						}
						time.Sleep(wait / 4)
						x.Up()
						time.Sleep(wait/4 - c.window*time.Duration(i+1)/20)
						x.Freeze()
						err = <-ended
						runs++
						if err == nil {
							t.Fatal("locked")
						}
						if !errors.Is(err, redlock.ErrContended) {
							bad++
							example = err
						}
						x.Thaw()
					})
				}
				assert.Zero(t, bad, "%d of %d, %v", bad, runs, example)
			})
		}
	}
}
