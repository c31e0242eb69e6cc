package suites

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

// pauses is why tests are left out, with the file that they are in.
const pauses = "how redislock computes pauses: no lock in it"

func TestRedislocksOwnTestsPass(t *testing.T) {
	t.Parallel()
	const module, version = "github.com/bsm/redislock", "v0.9.4"
	server := servers.StartOne(t)
	dir := copyModule(t, module, version, "redislock", "testdata/redislock")
	tests := testsIn(t, filepath.Join(dir, "*_test.go"))
	require.NoError(t, os.Remove(filepath.Join(dir, "retry_strategy_test.go")))

	suite{
		name: "redislock", version: version, tests: tests,
		differs: map[string]difference{
			"TestObtain_custom_token": {
				"a lock has a value that nobody else can choose, and who has it cannot take it once more",
				"this library draws the token of each lock itself",
			},
			"TestLock_Refresh": {
				"no extension shortens what a key has left on a server: a late copy of an older one could",
				"expected ~1m0s, got ",
			},
		},
		leftOut: map[string]string{
			"Example":                "its server is that on port 6379",
			"TestNoRetry":            pauses,
			"TestLinearBackoff":      pauses,
			"TestExponentialBackoff": pauses,
			"TestLimitRetry":         pauses,
		},
		timed: map[string]string{
			// A lock of 50 ms has to last until another caller has tried for 10 ms.
			// Its words are those of a lock that excludes nobody, too: those here are of the replacement,
			// which knows when the first lock was over.
			"TestObtain_retry_failure": "granted when the lock before it had run out",
		},
		command: func(t *testing.T, run string) *exec.Cmd {
			t.Helper()
			return goTest(t, dir, run, "REDLOCK_SUITE_NODES="+server.Addr())
		},
	}.check(t)
}
