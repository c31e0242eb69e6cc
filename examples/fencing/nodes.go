package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// embeddedNodes is the smallest number that does without one of them.
const embeddedNodes = 3

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
	return n, nil
}

func (n *nodes) String() string {
	if n.embedded != nil {
		return fmt.Sprintf("%d embedded Redis nodes", embeddedNodes)
	}
	return "the Redis nodes " + strings.Join(n.addrs, ", ")
}

func (n *nodes) close() {
	for _, m := range n.embedded {
		m.Close()
	}
}

// A member is what one process of a real deployment would have: a client for
// each node and a Locker on them.
type member struct {
	clients []*redis.Client
	locker  *redlock.Locker
}

func newMember(n *nodes, opts ...redlock.Option) (*member, error) {
	m := &member{}
	for _, addr := range n.addrs {
		m.clients = append(m.clients, redis.NewClient(&redis.Options{Addr: addr}))
	}
	var err error
	if m.locker, err = redlock.New(m.clients, opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("-addrs: %w", err), m.closeClients())
	}
	return m, nil
}

// shutdownTimeout covers what go-redis does by default to reach a node that
// refuses connections.
const shutdownTimeout = 5 * time.Second

func (m *member) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return errors.Join(m.locker.Shutdown(ctx), m.closeClients())
}

func (m *member) closeClients() error {
	var errs []error
	for _, c := range m.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
