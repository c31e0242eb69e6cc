package rig

import (
	"context"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// StartNodes starts three in-memory Redis servers for an example, in real time, and returns a
// client for each. The function it returns closes all of them.
func StartNodes() (clients []*redis.Client, closeAll func()) {
	var servers []*miniredis.Miniredis
	for range 3 {
		server, err := miniredis.Run()
		if err != nil {
			log.Panic(err)
		}
		servers = append(servers, server)
		clients = append(clients, redis.NewClient(&redis.Options{Addr: server.Addr()}))
	}
	return clients, func() {
		for i, server := range servers {
			_ = clients[i].Close()
			server.Close()
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
