// Command fencing shows what a lock with a TTL cannot prevent, and what its
// fencing token does about it: a writer that is paused until its lock has run out
// writes over what the next one has written. With tokens the database refuses that.
//
//	go run .
//	go run . -dsn postgres://user:secret@localhost:5432/database
//	go run . -addrs 10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379
//
// Without -dsn the database is SQLite in memory, and without -addrs the program
// brings its own Redis nodes, so nothing needs to be installed. It exits with 1 if
// anything came out otherwise than it says, and with 2 if it could not go on.
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
	exitOK    = 0
	exitWrong = 1
	exitError = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings as arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	redis.SetLogger(&logging.VoidLogger{}) // what matters is in the errors

	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err == nil {
		err = demonstrate(ctx, c, stdout)
	}
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintln(stderr, "fencing:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.Is(err, errWrong) {
		return exitWrong
	}
	return exitError
}

// config is what the command line asks for.
type config struct {
	addrs []string // none: embedded nodes
	dsn   string   // empty: SQLite in memory
	ttl   time.Duration
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("fencing", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.DurationVar(&c.ttl, "ttl", time.Second, "`time` to live of each lock, which the pause outlasts")
	f.StringVar(&c.dsn, "dsn", "", "`URL` of a PostgreSQL database, for a table that is removed at the end (default: SQLite in memory)")
	f.Func("addrs", "`host:port,…` of real, independent Redis servers to run on (default: three embedded ones)", func(s string) error {
		c.addrs = strings.Split(s, ",")
		for _, addr := range c.addrs {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return err
			}
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q (-h lists the flags)", f.Arg(0))
	}
	return c, nil // the library checks the ttl, and the servers against each other
}

// demonstrate tells the story twice: without tokens, and with them.
func demonstrate(ctx context.Context, c config, stdout io.Writer) (err error) {
	n, err := startNodes(c.addrs)
	if err != nil {
		return err
	}
	defer n.close()
	db, err := openDatabase(ctx, c.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()

	_, _ = fmt.Fprintf(stdout, "Two writers add to a balance in %s,\nunder one lock with a TTL of %v on %s.\n", db.name, c.ttl, n)
	for account, fenced := range []bool{false, true} {
		s := &story{
			out: stdout, db: db, nodes: n, ttl: c.ttl, fenced: fenced, account: account,
			resource: fmt.Sprintf("%s:%d", db.table, account),
		}
		if err := s.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}
