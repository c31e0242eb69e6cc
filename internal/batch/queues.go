package batch

import (
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
)

// Queues are what the commands for a node go through: none if each goes by itself, one,
// or of a Cluster one for each part of the slots.
type Queues []*Queue

// For returns those for a client, none if it cannot take batches. Other types than
// those of go-redis are left alone even if they embed one: their Process would be passed
// over.
func For(c client.Client) Queues {
	switch c.(type) {
	case *redis.Client:
		return newQueues(c, 1)
	case *redis.ClusterClient:
		return newQueues(c, client.Parts)
	default:
		return nil
	}
}

func newQueues(c client.Client, n int) Queues {
	var all Queues
	for range n {
		all = append(all, &Queue{client: c})
	}
	return all
}

// Of returns what the commands for a resource go through, nil if each goes by itself.
func (q Queues) Of(resource string) *Queue {
	switch n := len(q); n {
	case 0:
		return nil
	case 1:
		return q[0]
	default:
		return q[client.Part(resource, n)]
	}
}
