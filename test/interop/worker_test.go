package interop

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// A worker is a process that locks with one library. Its arguments are the
// addresses of the nodes. It takes commands from standard input, a line each,
// and answers each with a line on standard output, "ok", or "no" and why:
//
//	lock KEY TTL              one attempt
//	extend TTL                of the lock that it got last
//	unlock                    of the same
//	contend KEY TTL DELAY
//
// TTL and DELAY are in milliseconds. KEY may be several, joined by commas, for the
// libraries that lock several at once. To contend is to lock KEY with the retries of
// the library, say "enter" and wait for a line, say "leave" and wait for a line,
// unlock, pause, and begin again. If the answer to "enter" is "over", the worker
// only unlocks and has done with that command.
//
// A worker ends with its standard input, and with an error on standard error if
// something happens that is neither success nor refusal. work below is the side
// of Go, node/worker.mjs the other one.
const envWorker = "REDLOCK_INTEROP_WORKER"

func TestMain(m *testing.M) {
	name := os.Getenv(envWorker)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := work(context.Background(), name, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// work runs a worker until its input ends.
func work(ctx context.Context, name string, addrs []string) error {
	open, ok := goLibraries[name]
	if !ok {
		return fmt.Errorf("there is no library %q", name)
	}
	l, err := open(addrs)
	if err != nil {
		return err
	}
	w := workman{library: l, lines: make(chan string)}
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			w.lines <- in.Text()
		}
		os.Exit(0) // the test is over, or gone
	}()
	for {
		if err := w.obey(ctx, <-w.lines); err != nil {
			return err
		}
	}
}

type workman struct {
	library goLibrary
	lines   chan string
	held    goLock
}

// obey carries out one command and answers it.
func (w *workman) obey(ctx context.Context, line string) error {
	var key string
	var ttl, delay int
	var err error
	switch name, args, _ := strings.Cut(line, " "); name {
	case "lock":
		if _, err := fmt.Sscan(args, &key, &ttl); err != nil {
			return err
		}
		var lock goLock
		if lock, err = w.library.lock(ctx, key, milliseconds(ttl), 0); err == nil {
			w.held = lock
		}
	case "extend":
		if _, err := fmt.Sscan(args, &ttl); err != nil {
			return err
		}
		err = w.held.extend(ctx, milliseconds(ttl))
	case "unlock":
		err = w.held.unlock(ctx)
	case "contend":
		if _, err := fmt.Sscan(args, &key, &ttl, &delay); err != nil {
			return err
		}
		err = w.contend(ctx, key, milliseconds(ttl), milliseconds(delay))
	default:
		return fmt.Errorf("there is no command %q", line)
	}
	switch {
	case err == nil:
		fmt.Println("ok")
	case w.library.refused(err):
		fmt.Println("no", strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		return err
	}
	return nil
}

func (w *workman) contend(ctx context.Context, key string, ttl, delay time.Duration) error {
	for ; ; time.Sleep(rand.N(2 * delay)) { //nolint:gosec // no secret
		lock, err := w.library.lock(ctx, key, ttl, delay)
		switch {
		case err == nil:
		case w.library.refused(err):
			continue
		default:
			return err
		}
		fmt.Println("enter")
		over := <-w.lines == "over"
		if !over {
			fmt.Println("leave")
			<-w.lines
		}
		if err := lock.unlock(ctx); err != nil || over {
			return err
		}
	}
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
