// Package client is what the library knows of go-redis: what a client is and which databases
// it leads to, how one command is run with it, and what its errors say. It knows nothing of
// locks, and of nodes only that each is behind a client. Whatever sends a command calls it, and
// New, when it looks at its arguments.
package client

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/script"
)

// A Client runs a command on one node.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A Subscriber is a client that can listen to channels.
type Subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// failoverAddr is what go-redis puts for an address where Sentinels tell it.
const failoverAddr = "FailoverClient"

// An Endpoint is a database that a client's options name.
type Endpoint struct {
	Network string
	Addr    string
	DB      int
}

// Endpoints returns the databases that a client's options name, in order: one
// for a plain client, several for a Cluster or a Ring, none if the client does
// not tell. It fails if the client panics when it is asked, as one does that wraps
// a nil one.
func Endpoints(client any) (all []Endpoint, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its Options panicked: %v", p)
		}
	}()
	switch c := client.(type) {
	case interface{ Options() *redis.Options }:
		if o := c.Options(); o != nil && o.Addr != failoverAddr {
			all = append(all, Endpoint{o.Network, o.Addr, o.DB})
		}
	case interface{ Options() *redis.ClusterOptions }:
		if o := c.Options(); o != nil {
			for _, addr := range o.Addrs {
				all = append(all, Endpoint{"tcp", addr, 0})
			}
		}
	case interface{ Options() *redis.RingOptions }:
		if o := c.Options(); o != nil {
			for _, addr := range o.Addrs {
				all = append(all, Endpoint{"tcp", addr, o.DB})
			}
		}
	}
	slices.SortFunc(all, func(a, b Endpoint) int { return cmp.Compare(a.Addr, b.Addr) })
	return all, nil
}

// A Spread says among what a client's keys are spread.
type Spread uint8

// Spreads.
const (
	Whole  Spread = iota // all keys lie on one server, as far as the client tells
	BySlot               // on that of their slot in a Cluster
	ByTag                // on that of their hash tag in a Ring
)

// SpreadOf returns how a client that is not nil spreads keys.
func SpreadOf(client any) Spread {
	switch client.(type) {
	case interface{ Options() *redis.ClusterOptions }:
		return BySlot
	case interface{ Options() *redis.RingOptions }:
		return ByTag
	default:
		return Whole
	}
}

// Together reports whether one script can use both keys.
func (s Spread) Together(a, b string) bool {
	switch s {
	case BySlot:
		return script.Slot(a) == script.Slot(b)
	case ByTag:
		return script.Tag(a) == script.Tag(b) // two tags may part when the Ring changes
	default:
		return true
	}
}

// Parts is in how many parts the slots of a Cluster are told apart. The slots of each
// mostly lie on one server, so that one which hangs does not hold up what is meant for the
// others.
const Parts = 16

// Part returns in which of n parts of the slots a key lies.
func Part(key string, n int) int { return script.Slot(key) * n / script.Slots }

// Own reports whether a client is one of go-redis itself. A program's own type may know
// scripts only, as those do that stand in for a node in tests.
func Own(c Client) bool {
	switch c.(type) {
	case *redis.Client, *redis.ClusterClient, *redis.Ring, *redis.AutoPipeliner:
		return true
	default:
		return false
	}
}

// Connections returns how many commands a client has under way at most, each on a connection
// of its own; 0 if it does not tell, or that depends on their keys. Other types than those of
// go-redis may do as they like with commands.
func Connections(c Client) int {
	if c, ok := c.(*redis.Client); ok {
		o := c.Options()
		if o.MaxActiveConns > 0 {
			return min(o.PoolSize, o.MaxActiveConns)
		}
		return o.PoolSize
	}
	return 0
}

// IsNil reports whether v is nil or holds a nil pointer, map, func or the like.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return r.IsNil()
	default:
		return false
	}
}
