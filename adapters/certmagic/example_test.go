package certmagiclock_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	certmagiclock "github.com/b0401464/redlock/adapters/certmagic"
)

// clientsOf returns clients of three nodes in this process.
func clientsOf() (clients []*redis.Client, closeNodes func()) {
	var nodes []*miniredis.Miniredis
	for range 3 {
		node, err := miniredis.Run()
		if err != nil {
			log.Panic(err)
		}
		nodes = append(nodes, node)
		clients = append(clients, redis.NewClient(&redis.Options{Addr: node.Addr()}))
	}
	return clients, func() {
		for i, node := range nodes {
			_ = clients[i].Close()
			node.Close()
		}
	}
}

// Instances that share a directory, by NFS say, lock on Redis. Each of them does this once
// before it calls certmagic.HTTPS, ManageSync or the like.
func ExampleNewStorage() {
	clients, closeNodes := clientsOf()
	defer closeNodes()
	shared, err := os.MkdirTemp("", "certificates")
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = os.RemoveAll(shared) }()

	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	storage, err := certmagiclock.NewStorage(&certmagic.FileStorage{Path: shared}, locker)
	if err != nil {
		log.Panic(err)
	}
	certmagic.Default.Storage = storage

	fmt.Println(certmagic.Default.Storage.Lock(context.Background(), "issue_cert_example.com"))
	fmt.Println(storage.TryLock(context.Background(), "issue_cert_example.com"))
	fmt.Println(storage.Unlock(context.Background(), "issue_cert_example.com"))
	fmt.Println(locker.Shutdown(context.Background()))
	// Output:
	// <nil>
	// false <nil>
	// <nil>
	// <nil>
}

// A storage of your own can have its locks by embedding.
func ExampleNew() {
	clients, closeNodes := clientsOf()
	defer closeNodes()
	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	locks, err := certmagiclock.New(locker, certmagiclock.WithPrefix("certmagic:eu:"))
	if err != nil {
		log.Panic(err)
	}

	type bucket struct { // and Store, Load, Delete, Exists, List and Stat
		*certmagiclock.Locker
	}
	var b certmagic.Locker = bucket{locks}
	fmt.Println(b.Lock(context.Background(), "storage_clean"))
	fmt.Println(b.Unlock(context.Background(), "storage_clean"))
	fmt.Println(locker.Shutdown(context.Background()))
	// Output:
	// <nil>
	// <nil>
	// <nil>
}
