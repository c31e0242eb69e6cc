package notify_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/notify"
)

// newGates returns the gates among nodes of these names, and those nodes.
func newGates(names ...string) (notify.Gates, []*node.Node) {
	clients := make([]client.Client, len(names))
	for i := range clients {
		clients[i] = new(redis.Client) // is not asked
	}
	nodes := node.New(clients, lane.NewTable(len(names)), nil, node.Hooks{})
	return notify.NewGates(nodes, names), nodes
}

var names = []string{"one:6379", "two:6379", "three:6379"}

func TestProcessesThatListTheNodesInAnotherOrderHaveTheSameGate(t *testing.T) {
	here, _ := newGates(names...)
	there := slices.Clone(names)
	slices.Reverse(there)
	gates, _ := newGates(there...)
	for i := range 1000 {
		resource := fmt.Sprint("order:", i)
		require.Equal(t, names[here.Of(resource)], there[gates.Of(resource)], resource)
	}
}

func TestGatesShareTheResources(t *testing.T) {
	gates, _ := newGates(names...)
	kept := make([]int, len(names))
	for i := range 3000 {
		kept[gates.Of(fmt.Sprint("order:", i))]++
	}
	for i, n := range kept {
		assert.InDelta(t, 1000, n, 150, names[i])
	}
}

func TestAResourceHasNoGateWhereItsLineCannotLieBesideIt(t *testing.T) {
	gates, _ := newGates(names...)
	assert.Equal(t, notify.NoGate, gates.Of("}{"))
	assert.NotEqual(t, notify.NoGate, gates.Of("{a}b"))
}

func TestAGateThatKeepsNoLineIsReplacedByNone(t *testing.T) {
	gates, nodes := newGates(names...)
	gate := gates.Of("a")
	require.NotEqual(t, notify.NoGate, gate)
	nodes[gate].Mute()
	assert.Equal(t, notify.NoGate, gates.Of("a"), "others would have another gate")
}
