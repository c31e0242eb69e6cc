// Package servers runs real redis-server processes for tests: servers by
// themselves, Clusters and Sentinel groups.
//
// It is for tests only: every function reports its failures to a [testing.TB].
// Servers listen on 127.0.0.1, keep nothing on disk unless asked to, and never
// outlive the test that started them; on Linux not even when the test binary
// is killed.
//
// The program is redis-server, or what the environment variable
// REDLOCK_SERVER names. Tests skip where it is not installed, or fail there
// if REDLOCK_REQUIRE_REDIS is 1.
package servers

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

const (
	envServer  = "REDLOCK_SERVER"
	envRequire = "REDLOCK_REQUIRE_REDIS"
)

// An Option configures the servers of one [Start].
type Option interface{ apply(*config) }

type config struct {
	args     []string
	tls      *tls.Config // what a client of the server needs; nil without TLS
	cluster  bool        // the server has a second port, for the bus of its Cluster
	sentinel bool        // it watches others, and keeps what it knows in a file
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithAppendOnly makes every write durable before it is answered, so that
// [Server.Restart] keeps the data. The default is to keep nothing.
func WithAppendOnly() Option { return WithArgs("--appendonly", "yes", "--appendfsync", "always") }

// WithArgs adds arguments to the command line of the server. They come last,
// so they win over those of this package.
func WithArgs(args ...string) Option {
	return optionFunc(func(c *config) { c.args = append(c.args, args...) })
}

// Start runs n servers, waits until each of them answers and stops them when
// tb ends.
//
// It skips tb if there is no redis-server. It must be called from the
// goroutine that runs tb.
func Start(tb testing.TB, n int, opts ...Option) []*Server {
	tb.Helper()
	program := Program(tb)
	c := config{args: []string{
		"--bind", "127.0.0.1",
		"--daemonize", "no",
		"--logfile", "",
		"--save", "",
		"--appendonly", "no",
	}}
	for _, o := range opts {
		o.apply(&c)
	}

	servers := make([]*Server, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range servers {
		s := &Server{tb: tb, program: program, config: c, dir: tb.TempDir()}
		tb.Cleanup(s.Kill) // after TempDir, so that it runs before the directory goes
		servers[i] = s
		if c.sentinel {
			if err := os.WriteFile(filepath.Join(s.dir, sentinelFile), nil, 0o600); err != nil {
				tb.Fatalf("servers: %v", err)
			}
		}
		wg.Go(func() { errs[i] = s.startAnywhere() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		if c.tls != nil && strings.Contains(err.Error(), "Bad directive") {
			tb.Skip("needs a redis-server that is built with TLS")
		}
		tb.Fatalf("servers: %v", err)
	}
	return servers
}

// StartOne is [Start] for a single server.
func StartOne(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return Start(tb, 1, opts...)[0]
}

// Silence turns off the log that go-redis writes to standard error, for the
// whole process and for good. Call it from TestMain when servers are meant to
// fail.
func Silence() { redis.SetLogger(&logging.VoidLogger{}) }

// Program returns the path of the server's program. It ends tb if there is none.
func Program(tb testing.TB) string {
	tb.Helper()
	name := os.Getenv(envServer)
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv(envRequire) == "1" {
		tb.Fatalf("needs redis-server: %v, and %s=1 forbids to skip", err, envRequire)
	}
	tb.Skip("needs redis-server: install it or run make setup")
	return ""
}
