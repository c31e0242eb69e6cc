package suites

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestRedsyncsOwnTestsPass(t *testing.T) {
	t.Parallel()
	const module, version = "github.com/go-redsync/redsync/v4", "v4.18.1"
	dir := copyModule(t, module, version, "testdata/redsync")
	tests := testsIn(t, filepath.Join(dir, "*_test.go"))
	bin := t.TempDir()
	program, err := filepath.Abs(servers.Program(t))
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(bin, serverName)))
	drivers := ""
	if os.Getenv("REDLOCK_LONG") == "" {
		drivers = "/^goredis_v9$" // the others look at the same servers by other clients
	}

	suite{
		name: "redsync", version: version, tests: tests,
		differs: map[string]difference{
			"TestSetNXOnExtendAcquiresLockWhenKeyIsExpired": {
				"no extension takes a lock again that has run out: another one may have had it meanwhile",
				"mutex didn't extend",
			},
			"TestMutexLockUnlockSplit": {
				"who knows the value of a lock does not have the lock",
				"mutex unlock failed: this library does not unlock by a value",
			},
		},
		leftOut: map[string]string{
			"TestScripts_Hash": "the hashes of redsync's scripts, which are not run here",
			"TestRedisErrorIs": "an error type of redsync's, with no lock in it",
			"TestRedisErrorAs": "an error type of redsync's, with no lock in it",
		},
		command: func(t *testing.T, run string) *exec.Cmd {
			t.Helper()
			return goTest(t, dir, run+drivers, envServer+"="+program, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
		},
	}.check(t)
}
