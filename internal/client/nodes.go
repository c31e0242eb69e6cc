package client

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Distinct returns the endpoints of each client, or why the clients cannot be the nodes of
// one Locker.
func Distinct(clients []Client) ([][]Endpoint, error) {
	if len(clients) == 0 {
		return nil, errors.New("no clients")
	}
	all := make([][]Endpoint, len(clients))
	for i, c := range clients {
		if _, queues := c.(redis.Pipeliner); queues {
			return nil, fmt.Errorf("client %d is a pipeline: it only queues commands", i+1)
		}
		var err error
		if all[i], err = Endpoints(c); err != nil {
			return nil, fmt.Errorf("client %d cannot be used: %w", i+1, err)
		}
		for j, other := range clients[:i] {
			if same(c, other) || overlap(all[i], all[j]) {
				return nil, fmt.Errorf("clients %d and %d are the same node (%s): it would vote twice", j+1, i+1, addr(all[i]))
			}
		}
	}
	return all, nil
}

func same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	return va.Comparable() && vb.Comparable() && a == b
}

// overlap reports whether some endpoint is in both lists.
func overlap(a, b []Endpoint) bool {
	return slices.ContainsFunc(a, func(e Endpoint) bool { return slices.Contains(b, e) })
}

// addr returns the addresses of endpoints, joined by commas.
func addr(endpoints []Endpoint) string {
	addrs := make([]string, len(endpoints))
	for i, e := range endpoints {
		addrs[i] = e.Addr
	}
	return strings.Join(addrs, ",")
}

// Names returns what every process that uses the nodes calls them, in whatever order it lists
// them: the databases that the clients' options name. Of those whose clients do not tell, as
// of Sentinel groups, the order counts.
func Names(nodes [][]Endpoint) []string {
	names, nameless := make([]string, len(nodes)), 0
	for i, e := range nodes {
		if len(e) > 0 {
			names[i] = fmt.Sprint(e)
		} else {
			names[i] = fmt.Sprint("node ", nameless)
			nameless++
		}
	}
	return names
}

// Addrs returns the addresses of each node, joined by commas, and single those of the nodes
// that have one only.
func Addrs(nodes [][]Endpoint) (all, single []string) {
	all, single = make([]string, len(nodes)), make([]string, len(nodes))
	for i, e := range nodes {
		all[i] = addr(e)
		if len(e) == 1 {
			single[i] = e[0].Addr
		}
	}
	return all, single
}

// A Shards is a client of several servers among which keys are spread.
type Shards struct {
	Client int // from 0
	Spread Spread
}

// ShardsOf returns one client of each kind: what they ask of resources is the same.
func ShardsOf(clients []Client) []Shards {
	var all []Shards
	for i, c := range clients {
		spread := SpreadOf(c)
		if spread != Whole && !slices.ContainsFunc(all, func(s Shards) bool { return s.Spread == spread }) {
			all = append(all, Shards{i, spread})
		}
	}
	return all
}
