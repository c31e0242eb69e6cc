// Worker is a process that locks. The tests of package versions build it twice, with this
// version of the library and with an earlier one, so it uses only what both have.
//
// Its arguments are the addresses of the nodes. It takes commands from standard input, a line
// each, and answers each with a line on standard output: "ok" and the token, or "no" if another
// holds the lock. It ends with its standard input, and with an error if anything else happens.
//
//	lock KEY TTL KEEP   waits until it has the lock; with a token unless KEEP is 0
//	try KEY TTL KEEP    does not wait
//	extend TTL
//	unlock
//
// TTL and KEEP are in milliseconds.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

func main() {
	if err := work(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func work(ctx context.Context, addrs []string) error {
	var clients []*redis.Client
	for _, addr := range addrs {
		clients = append(clients, redis.NewClient(&redis.Options{Addr: addr}))
	}
	// A node that is well may take long to answer on a busy machine.
	locker, err := redlock.New(clients, redlock.WithNodeTimeout(20*time.Second), redlock.WithRetry(redlock.Forever, 200*time.Millisecond))
	if err != nil {
		return err
	}
	var held *redlock.Lock
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		name, args, _ := strings.Cut(in.Text(), " ")
		if held, err = obey(ctx, locker, held, name, args); errors.Is(err, redlock.ErrContended) {
			fmt.Println("no")
			continue
		} else if err != nil {
			return err
		}
		fmt.Println("ok", held.Token())
	}
	return nil
}

// obey carries out one command and returns the lock that the worker has then.
func obey(ctx context.Context, locker *redlock.Locker, held *redlock.Lock, name, args string) (*redlock.Lock, error) {
	var key string
	var ttl, keep int
	var opts []redlock.LockOption
	switch name {
	case "lock", "try":
		if _, err := fmt.Sscan(args, &key, &ttl, &keep); err != nil {
			return nil, err
		}
		if keep > 0 {
			opts = append(opts, redlock.WithFencing(milliseconds(keep)))
		}
		if name == "try" {
			return locker.TryLock(ctx, key, milliseconds(ttl), opts...)
		}
		return locker.Lock(ctx, key, milliseconds(ttl), opts...)
	case "extend":
		if _, err := fmt.Sscan(args, &ttl); err != nil {
			return nil, err
		}
		return held, held.Extend(ctx, milliseconds(ttl))
	case "unlock":
		return held, held.Unlock(ctx)
	default:
		return nil, fmt.Errorf("there is no command %q", name)
	}
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
