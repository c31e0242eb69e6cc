package rig

import (
	"context"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/memory"
)

// StartNodes starts three in-memory Redis servers for an example, in real time, and returns a
// client for each. The function it returns closes all of them.
func StartNodes() (clients []*redis.Client, closeAll func()) {
	var nodes []*memory.Node
	for i := range 3 {
		nodes = append(nodes, memory.New(i))
		clients = append(clients, nodes[i].Client)
	}
	return clients, func() {
		for _, n := range nodes {
			n.Close()
		}
	}
}

// StartLocker returns a Locker for an example, on three in-memory nodes. The function it
// returns shuts it down and closes them.
func StartLocker() (locker *redlock.Locker, closeAll func()) {
	clients, closeNodes := StartNodes()
	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	return locker, func() {
		_ = locker.Shutdown(context.Background())
		closeNodes()
	}
}
