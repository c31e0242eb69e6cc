package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/b0401464/redlock"
)

// embeddedNodes is the smallest number that does without one of them.
const embeddedNodes = 3

// slowness is what the last embedded node adds to every command of the library.
const slowness = 40 * time.Millisecond

// nodes are the Redis servers of a run.
type nodes struct {
	addrs    []string
	embedded []*miniredis.Miniredis // none with -addrs
}

func startNodes(addrs []string) (*nodes, error) {
	if len(addrs) > 0 {
		return &nodes{addrs: addrs}, nil
	}
	n := &nodes{}
	for range embeddedNodes {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire with the wall clock, as in a real server
		if err := m.Start(); err != nil {
			n.close()
			return nil, fmt.Errorf("embedded node: %w", err)
		}
		n.embedded = append(n.embedded, m)
		n.addrs = append(n.addrs, m.Addr())
	}
	n.embedded[embeddedNodes-1].Server().SetPreHook(func(_ *server.Peer, command string, args ...string) bool {
		// And not what a script calls, which writes NX in capitals.
		if strings.HasPrefix(command, "EVAL") || slices.Contains(args, "nx") || command == "DELEX" {
			time.Sleep(slowness)
		}
		return false
	})
	return n, nil
}

func (n *nodes) close() {
	for _, m := range n.embedded {
		m.Close()
	}
}

// newClients returns a client for each node, with options that docs/nodes.md
// recommends.
func newClients(addrs []string) []*redis.Client {
	var clients []*redis.Client
	for _, addr := range addrs {
		clients = append(clients, redis.NewClient(&redis.Options{
			Addr:                     addr,
			MaxRetries:               1,
			DisableIdentity:          true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		}))
	}
	return clients
}

func closeClients(clients []*redis.Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// warmUp makes every node know the scripts, by a lock on each of them alone.
// A program needs no such thing: a node that does not know a script is sent it.
func warmUp(ctx context.Context, addrs []string) error {
	clients := newClients(addrs)
	var errs []error
	for i := range clients {
		errs = append(errs, warmUpNode(ctx, clients[i:i+1]))
	}
	return errors.Join(append(errs, closeClients(clients))...)
}

func warmUpNode(ctx context.Context, client []*redis.Client) error {
	// A node keeps the line for some resources, and not for others.
	return errors.Join(warmUpWith(ctx, client), warmUpWith(ctx, client, redlock.WithoutWaitingLine()))
}

func warmUpWith(ctx context.Context, client []*redis.Client, opts ...redlock.Option) error {
	l, err := redlock.New(client, opts...)
	if err != nil {
		return err
	}
	err = l.With(ctx, invoice+":warm-up", ttl, func(ctx context.Context, lock *redlock.Lock) error {
		return lock.Extend(ctx, ttl)
	}, nil)
	return errors.Join(err, l.Shutdown(ctx))
}
