package round

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

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
// not tell.
func Endpoints(client any) []Endpoint {
	var all []Endpoint
	switch c := client.(type) {
	case interface{ Options() *redis.Options }:
		if o := c.Options(); o != nil && o.Addr != failoverAddr {
			all = append(all, Endpoint{o.Network, o.Addr, o.DB})
		}
	case interface{ Options() *redis.ClusterOptions }:
		for _, addr := range c.Options().Addrs {
			all = append(all, Endpoint{"tcp", addr, 0})
		}
	case interface{ Options() *redis.RingOptions }:
		for _, addr := range c.Options().Addrs {
			all = append(all, Endpoint{"tcp", addr, c.Options().DB})
		}
	}
	slices.SortFunc(all, func(a, b Endpoint) int { return cmp.Compare(a.Addr, b.Addr) })
	return all
}

// Addr returns the addresses of endpoints, joined by commas.
func Addr(endpoints []Endpoint) string {
	addrs := make([]string, len(endpoints))
	for i, e := range endpoints {
		addrs[i] = e.Addr
	}
	return strings.Join(addrs, ",")
}

// Same reports whether two clients are one and the same, or lead to the same
// database, so that it would vote twice.
func Same(a, b any) bool {
	if va, vb := reflect.ValueOf(a), reflect.ValueOf(b); va.Comparable() && vb.Comparable() && a == b {
		return true
	}
	others := Endpoints(b)
	return slices.ContainsFunc(Endpoints(a), func(e Endpoint) bool { return slices.Contains(others, e) })
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
