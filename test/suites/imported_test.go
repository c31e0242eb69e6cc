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

// onNodes runs body with two Lockers, as of two processes, on one node and on three.
func onNodes(t *testing.T, body func(t *testing.T, one, other *redlock.Locker), opts ...redlock.Option) {
	t.Helper()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			on := rig.NewReal(t, nodes)
			body(t, on.Locker(t, opts...), rig.NewRealLocker(t, on.NewClients(t), opts...))
		})
	}
}

func TestVaultsExerciseOfABackendPasses(t *testing.T) {
	t.Parallel()
	const module = "github.com/hashicorp/vault/sdk"
	checkSelf(t, "Vault's HA backend exercise", versionOf(t, module), func(t *testing.T) {
		t.Helper()
		onNodes(t, func(t *testing.T, one, other *redlock.Locker) {
			t.Helper()
			t.Run("two servers", func(t *testing.T) {
				physical.ExerciseHABackend(t, haBackend{one}, haBackend{other})
			})
			t.Run("one Locker", func(t *testing.T) {
				physical.ExerciseHABackend(t, haBackend{one}, haBackend{one})
			})
		})
		t.Run("with tokens", func(t *testing.T) {
			onNodes(t, func(t *testing.T, one, other *redlock.Locker) {
				t.Helper()
				physical.ExerciseHABackend(t, fencingBackend{haBackend{one}}, fencingBackend{haBackend{other}})
			}, redlock.WithFencing(rig.FenceKeep))
		})
	})
}

func TestDaprsConformanceOfALockStorePasses(t *testing.T) {
	t.Parallel()
	const module = "github.com/dapr/components-contrib"
	checkSelf(t, "Dapr's lock conformance", versionOf(t, module), func(t *testing.T) {
		t.Helper()
		onNodes(t, func(t *testing.T, one, other *redlock.Locker) {
			t.Helper()
			config, err := conformance.NewTestConfig("redlock", nil, nil)
			require.NoError(t, err)
			conformance.ConformanceTests(t, nil, &lockStore{sidecars: [2]*redlock.Locker{one, other}}, config)
		})
	})
}
