package gocronlock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
	"github.com/b0401464/redlock/test/rig"
)

func TestJobsOfOneNameAreOneJobUnlessTheirPrefixesDiffer(t *testing.T) {
	for _, name := range []string{"report", "", "a}b", "{}", "{a}b", "a:redlock:line", "\x00\xff\r\n", "main.main.func1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				lock := func(opts ...gocronlock.Option) error {
					l, err := gocronlock.NewLocker(rig.NewLocker(t, nodes), time.Minute, opts...)
					require.NoError(t, err)
					run, err := l.Lock(t.Context(), name)
					if err == nil {
						require.NoError(t, run.Unlock(t.Context()))
					}
					return err
				}
				require.NoError(t, lock())
				require.ErrorIs(t, lock(), redlock.ErrContended)
				require.NoError(t, lock(gocronlock.WithPrefix("billing:")))
				require.ErrorIs(t, lock(gocronlock.WithPrefix("billing:")), redlock.ErrContended)
			})
		})
	}
}
