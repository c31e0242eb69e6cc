package script_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

func TestExtendNeverShortens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		had, asked, wants int64
	}{
		{"longer", hour, day, day},
		{"shorter", day, hour, day},
		{"the same", hour, hour, hour},
		{"as short as can be", day, 1, day},
		{"from one that has no expiry", 0, hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				n.set("a", ours, tt.had)
				n.requireReply(1, script.Extend, []string{"a"}, ours, tt.asked)
				n.requireHas("a", ours, tt.wants)
			})
		})
	}
}

func TestExtendOfSeveralKeysBringsEachToTheTTL(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", ours, hour)
		n.set("b", ours, 3*day)
		n.set("c", ours, 0)
		n.set("d", ours, 2*hour)
		n.requireReply(1, script.Extend, []string{"a", "b", "c", "d"}, ours, day)
		n.requireHas("a", ours, day)
		n.requireHas("b", ours, 3*day)
		n.requireHas("c", ours, 0)
		n.requireHas("d", ours, day)
	})
}

func TestExtendOfWhatIsNotOursChangesNothing(t *testing.T) {
	t.Parallel()
	const gone, taken = -1, -2
	for _, tt := range []struct {
		name string
		has  map[string]string
		keys []string
		want int64
	}{
		{"gone", nil, []string{"a"}, gone},
		{"all gone", nil, []string{"a", "b"}, gone},
		{"somebody else's", map[string]string{"a": theirs}, []string{"a"}, taken},
		{"the first gone", map[string]string{"b": ours}, []string{"a", "b"}, gone},
		{"the last gone", map[string]string{"a": ours}, []string{"a", "b"}, gone},
		{"the first somebody else's", map[string]string{"a": theirs, "b": ours}, []string{"a", "b"}, taken},
		{"the last somebody else's", map[string]string{"a": ours, "b": theirs}, []string{"a", "b"}, taken},
		{"gone, and somebody else's", map[string]string{"b": theirs}, []string{"a", "b"}, taken},
		{"somebody else's, and gone", map[string]string{"a": theirs}, []string{"a", "b"}, taken},
		{"a value that begins like ours", map[string]string{"a": ours[:31]}, []string{"a"}, taken},
		{"a value that ours begins like", map[string]string{"a": ours + "0"}, []string{"a"}, taken},
		{"an empty value", map[string]string{"a": ""}, []string{"a"}, taken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				for key, value := range tt.has {
					n.set(key, value, hour)
				}
				n.requireReply(tt.want, script.Extend, tt.keys, ours, day)
				n.requireOnly(tt.has, hour)
			})
		})
	}
}

// requireOnly demands that the node has these keys, each for ttl, and no others.
func (n *node) requireOnly(has map[string]string, ttl int64) {
	n.t.Helper()
	require.Equal(n.t, int64(len(has)), n.client.DBSize(n.t.Context()).Val(), "keys")
	for key, value := range has {
		n.requireHas(key, value, ttl)
	}
}
