package redlock_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLockAndUnlockAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	for _, tt := range []struct {
		nodes, most int
	}{
		{1, 40},
		{3, 66},
		{5, 92},
	} {
		t.Run(fmt.Sprintf("%d nodes", tt.nodes), func(t *testing.T) {
			rig := newRealRig(t, tt.nodes)
			l := rig.locker(t)
			ctx := t.Context()
			call := func() {
				lock, err := l.Lock(ctx, "k", realTTL)
				if err != nil {
					t.Fatal(err) // require would allocate
				}
				if err := lock.Unlock(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				call()
			}
			got := testing.AllocsPerRun(2000, call)
			t.Logf("%v allocations", got)
			assert.LessOrEqual(t, got, float64(tt.most))
			drain(t, l)
			require.Zero(t, rig.keys(t))
		})
	}
}
