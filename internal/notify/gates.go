package notify

import (
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

// NoGate is the gate of a resource that has no line.
const NoGate = -1

// Gates are the nodes as those that keep lines, each the gate of its share of the resources.
type Gates struct {
	nodes []*node.Node
	seeds []uint64 // by node: the hash of its name
}

// NewGates returns the gates among nodes. names has what every process calls each node.
func NewGates(nodes []*node.Node, names []string) Gates {
	g := Gates{nodes: nodes}
	for _, name := range names {
		g.seeds = append(g.seeds, fnv(fnv(offset, name), "\x00"))
	}
	return g
}

// Of returns the node that keeps the line of a resource, the same one in every process that
// knows the nodes by the same names, or NoGate.
func (g *Gates) Of(resource string) int {
	if !script.Tags(resource) {
		return NoGate
	}
	// Rendezvous hashing: the order of the nodes does not matter.
	best, gate := uint64(0), NoGate
	for i, seed := range g.seeds {
		if weight := mix(fnv(seed, resource)); gate == NoGate || weight > best {
			best, gate = weight, i
		}
	}
	if !g.nodes[gate].KeepsLine(resource) {
		return NoGate
	}
	return gate
}

// offset is where the hash FNV-1a begins.
const offset = 14695981039346656037

// fnv goes on with the hash FNV-1a.
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the end of SplitMix64: FNV spreads the last bytes little.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
