// Command quickstart shows the redlock library at work on one screen: workers
// that contend for one lock through [redlock.Locker.With], one of which crashes
// with the lock and another one extends it by hand, a node that is frozen for a
// while, and a node that is stopped. Three sentences tell what happened.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -addrs 10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379
//
// Without -addrs it brings its own three nodes, so nothing needs to be
// installed. Elsewhere than on a terminal it prints lines. It exits with 1 if two workers ever had the lock at the same time,
// and with 2 if it could not begin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Exit codes.
const (
	exitOK      = 0
	exitOverlap = 1
	exitUsage   = 2
)

// maxWorkers keeps the picture readable and the open connections few.
const maxWorkers = 99

func main() {
	silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// silence turns off the log of go-redis, which reports failed dials on stderr: that would tear
// the picture. They are told as node errors here.
func silence() { redis.SetLogger(&logging.VoidLogger{}) }

// run is main with its surroundings as arguments. When ctx ends the workers
// stop, and the summary is printed all the same.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout)
		return exitOK
	}
	var overlaps int
	if err == nil {
		overlaps, err = demonstrate(ctx, cfg, newScreen(stdout, env, cfg))
	}
	switch {
	case err != nil:
		line := "quickstart: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\n"
		_, _ = io.WriteString(stderr, line)
		return exitUsage
	case overlaps > 0:
		return exitOverlap
	}
	return exitOK
}

// config is what the command line asks for.
type config struct {
	workers int
	run     time.Duration
	ttl     time.Duration
	addrs   []string // none: embedded nodes
}

func (c *config) flags() *flag.FlagSet {
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&c.workers, "workers", 8, "`number` of workers that contend for the lock")
	f.DurationVar(&c.run, "for", 10*time.Second, "`duration` of the run")
	// Four times the longest section, so that none but the one that is extended
	// outlives it, and short enough for that one to do so before your eyes.
	f.DurationVar(&c.ttl, "ttl", time.Second, "`time` to live of each lock")
	f.Func("addrs", "`host:port,…` of real, independent Redis servers to run on (default: three embedded ones)", func(s string) error {
		var err error
		c.addrs, err = splitAddrs(s)
		return err
	})
	return f
}

func parse(args []string) (config, error) {
	var c config
	f := c.flags()
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, fmt.Errorf("%w (-h lists the flags)", err)
	}
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q (-h lists the flags)", f.Arg(0))
	case c.workers < 1 || c.workers > maxWorkers:
		return c, fmt.Errorf("-workers %d: want 1 to %d", c.workers, maxWorkers)
	case c.run <= 0:
		return c, fmt.Errorf("-for %v: want a positive duration", c.run)
	}
	return c, nil // the library checks the ttl, and the servers against each other
}

// mayCrash reports whether a worker may crash with the lock: not if it is alone, or
// if its lock would keep the others waiting for much of the run.
func (c *config) mayCrash() bool { return c.workers > 1 && c.ttl <= c.run/8 }

// nodeTimeout is how long a caller would wait for a node by default, if it did.
func (c *config) nodeTimeout() time.Duration {
	return min(max(c.ttl/10, 50*time.Millisecond), time.Second)
}

func splitAddrs(list string) ([]string, error) {
	var addrs []string
	for addr := range strings.SplitSeq(list, ",") {
		addr = strings.TrimSpace(addr)
		_, port, err := net.SplitHostPort(addr)
		switch {
		case addr == "":
			return nil, errors.New("empty address")
		case err != nil:
			return nil, err
		case port == "":
			return nil, fmt.Errorf("address %s: missing port", addr)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

func usage(w io.Writer) {
	const purpose = "quickstart runs workers that contend for one lock, and shows who holds it when."
	_, _ = io.WriteString(w, purpose+"\n\n")
	var c config
	f := c.flags()
	f.SetOutput(w)
	f.PrintDefaults()
}
