package round

import (
	"cmp"
	"fmt"
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

// Addr returns the addresses of endpoints, joined by commas.
func Addr(endpoints []Endpoint) string {
	addrs := make([]string, len(endpoints))
	for i, e := range endpoints {
		addrs[i] = e.Addr
	}
	return strings.Join(addrs, ",")
}

// Same reports whether two clients are one and the same.
func Same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	return va.Comparable() && vb.Comparable() && a == b
}

// Overlap reports whether some endpoint is in both lists.
func Overlap(a, b []Endpoint) bool {
	return slices.ContainsFunc(a, func(e Endpoint) bool { return slices.Contains(b, e) })
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
