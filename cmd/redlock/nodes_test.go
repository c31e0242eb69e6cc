//go:build linux

package main_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

// requireWorks checks that the tool locks on what its environment or args name.
func (w *world) requireWorks(args ...string) {
	w.t.Helper()
	a := w.run(append([]string{"run", "k", "--wait", "20s"}, append(args, "--", "echo", "ran")...)...)
	require.Equal(w.t, 0, a.code(), a.err.String())
	require.Equal(w.t, "ran\n", a.out.String())
	require.Empty(w.t, a.err.String())
}

func TestNodesAreServersGroupsAndClusters(t *testing.T) {
	t.Parallel()
	group, cluster := servers.StartSentinelGroup(t), servers.StartCluster(t, 3)
	socket := t.TempDir() + "/redis.sock"
	one := servers.StartOne(t, servers.WithArgs("--unixsocket", socket))
	w := &world{t: t, dir: t.TempDir()}
	name := masterName(t, group)
	urls := []string{
		"redis://" + group.Sentinels[0].Addr() + "?addr=" + group.Sentinels[1].Addr() + "&master_name=" + name,
		"redis://" + cluster.Servers[0].Addr() + "?addr=" + cluster.Servers[1].Addr(),
		"redis://" + cluster.Servers[2].Addr() + "?cluster=true",
		"unix://" + socket,
		"redis://" + one.Addr() + "/3",
	}
	for _, u := range urls {
		w.requireWorks("--node", u)
	}
	w.env = []string{"REDLOCK_NODES=" + strings.Join([]string{urls[0], urls[1], urls[3]}, ",")}
	w.requireWorks()
	require.NoError(t, os.WriteFile(w.file("nodes"), []byte("\ufeff# three\n\n"+urls[0]+"\r\n  "+urls[1]+"\n"+urls[3]+"\n"), 0o600))
	w.env = []string{"REDLOCK_NODES=redis://127.0.0.1:1"}
	w.requireWorks("--nodes-file", w.file("nodes"))
}

// masterName asks a Sentinel for the name of the master that it watches.
func masterName(t *testing.T, g *servers.SentinelGroup) string {
	t.Helper()
	got, err := g.Sentinels[0].Client(t).Do(t.Context(), "SENTINEL", "MASTERS").Slice()
	require.NoError(t, err)
	require.Len(t, got, 1)
	fields := got[0].(map[any]any)
	return fields["name"].(string)
}

func TestNodesAreReachedThroughTLS(t *testing.T) {
	t.Parallel()
	authority := servers.NewAuthority(t)
	s := servers.StartOne(t, servers.WithTLS(authority))
	w := &world{t: t, dir: t.TempDir()}
	ca, own := authority.Files()
	url := "rediss://" + s.Addr()
	w.requireWorks("--node", url, "--tls-ca", ca, "--tls-cert", own, "--tls-key", own)
	a := w.run("run", "--try", "--node", url, "k", "--", "true")
	assert.Equal(t, 69, a.code())
	assert.Regexp(t, "^redlock: .*(certificate|no answer).*\n$", a.err.String())
	a = w.run("run", "--try", "--node", "redis://"+s.Addr(), "--tls-ca", ca, "k", "--", "true")
	assert.Equal(t, 64, a.code(), "nothing goes unencrypted by mistake")
	assert.Regexp(t, "^redlock: .*write rediss:// for redis://\n$", a.err.String())
}

func TestPasswordsAreUsedAndNeverShown(t *testing.T) {
	t.Parallel()
	const password = "p@ss,w/rd#1?" //nolint:gosec // of a server of the test
	const escaped = "p%40ss%2Cw%2Frd%231%3F"
	s := servers.StartOne(t, servers.WithArgs("--requirepass", password))
	w := &world{t: t, dir: t.TempDir()}
	w.env = []string{"REDLOCK_NODES=redis://default:" + escaped + "@" + s.Addr()}
	w.requireWorks()
	runs := map[string]*tool{}
	for _, url := range []string{
		"redis://:wrongsecret@" + s.Addr(),                        // the server refuses it
		"redis://:p@ss,w/rdsecret@" + s.Addr(),                    // not escaped
		"redis://:12/34secret@" + s.Addr(),                        // which reads as a port and a path
		"redis://:12?34secret@" + s.Addr(),                        // or as a query
		"redis://:#secret@" + s.Addr(),                            // or as a fragment
		"redis://:p@ss/wordsecret@" + s.Addr(),                    // or as a host and a database
		"redis://:p@ss/a/secret@" + s.Addr(),                      // or as one and a path
		"redis://:p@ss?secret=1@" + s.Addr(),                      // or as one and a parameter
		"redis://:p@secret#@" + s.Addr(),                          // or as one and a fragment
		"redis://:secret@" + s.Addr() + "/x",                      // no database
		"redis://:secret@" + s.Addr() + "?dial_timeout=x",         // no duration
		"http://:secret@" + s.Addr(),                              // no scheme of Redis
		"redis://:secret@" + s.Addr() + ":1:2",                    // no port
		"redis://127.0.0.1:1?master_name=m&password=secret&foo=1", // in a parameter
		"redis://127.0.0.1:1?master_name=m&password=secret",
		"redis://127.0.0.1:1?master_name=m&password=a&secret=1", // which ends there
		"redis://127.0.0.1:1?master_name=m&password=secret;b",   // likewise
		"redis://127.0.0.1:1?master_name=m&password=100%secret",
	} {
		w.env = []string{"REDLOCK_NODES=" + url}
		runs[url] = w.start("run", "--try", "k", "--", "true")
		if escaped := strings.ReplaceAll(url, ",", "%2C"); escaped != url {
			w.env = []string{"REDLOCK_NODES=" + escaped}
			runs[escaped] = w.start("run", "--try", "k", "--", "true")
		}
	}
	for url, a := range runs {
		assert.Contains(t, []int{64, 69}, a.wait(), url)
		assert.Regexp(t, "^redlock: [^\n]+\n$", a.err.String(), url)
		assert.NotContains(t, a.err.String(), "secret", url)
	}
	// Nor does it stand in the arguments of a process.
	w.env = []string{"REDLOCK_NODES=redis://default:" + escaped + "@" + s.Addr()}
	nap := unique()
	w.start("run", "k", "--", "sleep", nap)
	eventually(t, func() bool { return running(t, nap) }, "it does not run")
	assert.False(t, running(t, w.env[0]))
}
