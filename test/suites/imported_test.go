package suites

import (
	"fmt"
	"testing"

	conformance "github.com/dapr/components-contrib/tests/conformance/lock"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// onNodes runs body with three Lockers, as of three processes, on one node and on three.
func onNodes(t *testing.T, body func(t *testing.T, lockers [3]*redlock.Locker), opts ...redlock.Option) {
	t.Helper()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			on := rig.NewReal(t, nodes)
			var lockers [3]*redlock.Locker
			for i := range lockers {
				lockers[i] = rig.NewRealLocker(t, on.NewClients(t), opts...)
			}
			body(t, lockers)
		})
	}
}

func TestVaultsExerciseOfABackendPasses(t *testing.T) {
	t.Parallel()
	const module = "github.com/hashicorp/vault/sdk"
	checkSelf(t, "Vault's HA backend exercise", versionOf(t, module), func(t *testing.T) {
		t.Helper()
		onNodes(t, func(t *testing.T, lockers [3]*redlock.Locker) {
			t.Helper()
			t.Run("two servers", func(t *testing.T) {
				physical.ExerciseHABackend(t, haBackend{lockers[0]}, haBackend{lockers[1]})
			})
			t.Run("one Locker", func(t *testing.T) {
				physical.ExerciseHABackend(t, haBackend{lockers[0]}, haBackend{lockers[0]})
			})
		})
		t.Run("with tokens", func(t *testing.T) {
			onNodes(t, func(t *testing.T, lockers [3]*redlock.Locker) {
				t.Helper()
				physical.ExerciseHABackend(t, fencingBackend{haBackend{lockers[0]}}, fencingBackend{haBackend{lockers[1]}})
			}, redlock.WithFencing(rig.FenceKeep))
		})
	})
}

func TestDaprsConformanceOfALockStorePasses(t *testing.T) {
	t.Parallel()
	const module = "github.com/dapr/components-contrib"
	checkSelf(t, "Dapr's lock conformance", versionOf(t, module), func(t *testing.T) {
		t.Helper()
		onNodes(t, func(t *testing.T, lockers [3]*redlock.Locker) {
			t.Helper()
			config, err := conformance.NewTestConfig("redlock", nil, nil)
			require.NoError(t, err)
			conformance.ConformanceTests(t, nil, &lockStore{sidecars: lockers}, config)
		})
	})
}
