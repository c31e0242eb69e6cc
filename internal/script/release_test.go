package script_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/b0401464/redlock/internal/script"
)

func TestReleaseRemovesOnlyWhatIsOurs(t *testing.T) {
	t.Parallel()
	const all, missing = 1, -1
	for _, tt := range []struct {
		name string
		has  map[string]string
		keys []string
		want int64
	}{
		{"ours", map[string]string{"a": ours}, []string{"a"}, all},
		{"gone", nil, []string{"a"}, missing},
		{"somebody else's", map[string]string{"a": theirs}, []string{"a"}, missing},
		{"a key that is not named stays", map[string]string{"a": ours, "b": ours}, []string{"a"}, all},
		{"several", map[string]string{"a": ours, "b": ours, "c": ours}, []string{"a", "b", "c"}, all},
		{"the first gone", map[string]string{"b": ours, "c": ours}, []string{"a", "b", "c"}, missing},
		{"the last gone", map[string]string{"a": ours, "b": ours}, []string{"a", "b", "c"}, missing},
		{"the first somebody else's", map[string]string{"a": theirs, "b": ours}, []string{"a", "b"}, missing},
		{"the last somebody else's", map[string]string{"a": ours, "b": theirs}, []string{"a", "b"}, missing},
		{"none ours", map[string]string{"b": theirs}, []string{"a", "b"}, missing},
		{"a value that begins like ours", map[string]string{"a": ours[:31]}, []string{"a"}, missing},
		{"a value that ours begins like", map[string]string{"a": ours + "0"}, []string{"a"}, missing},
		{"an empty value", map[string]string{"a": ""}, []string{"a"}, missing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			left := maps.Clone(tt.has)
			maps.DeleteFunc(left, func(key, value string) bool { return value == ours && slices.Contains(tt.keys, key) })
			onEachRedis(t, func(n *node) {
				for key, value := range tt.has {
					n.set(key, value, hour)
				}
				n.requireReply(tt.want, script.Release, tt.keys, ours)
				n.requireOnly(left, hour)
			})
		})
	}
}

func TestReleaseOfAKeyWithoutExpiryRemovesItToo(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", ours, 0)
		n.requireReply(1, script.Release, []string{"a"}, ours)
		n.requireReply(-1, script.Release, []string{"a"}, ours)
		n.requireGone("a")
	})
}

func TestKeyOfAnotherTypeIsAnErrorThatChangesNothing(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{{"list"}, {"list", "a", "b"}, {"a", "list", "b"}, {"a", "b", "list"}} {
		t.Run(strings.Join(keys, " "), func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				n.setList("list")
				n.requireWrongType(script.Acquire, keys, ours, day)
				n.requireGone("a", "b")
				n.requireList("list")

				n.set("a", ours, hour)
				n.set("b", ours, hour)
				n.requireWrongType(script.Extend, keys, ours, day)
				n.requireHas("a", ours, hour)
				n.requireHas("b", ours, hour)
				n.requireList("list")
			})
		})
	}
}

func TestReleaseRemovesTheOtherKeysThoughOneIsOfAnotherType(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{{"list"}, {"list", "a", "b", "c"}, {"a", "list", "b", "c"}, {"a", "b", "c", "list"}} {
		t.Run(strings.Join(keys, " "), func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				n.setList("list")
				n.set("c", theirs, hour)
				if len(keys) > 1 {
					n.set("a", ours, hour)
					n.set("b", ours, hour)
				}
				n.requireWrongType(script.Release, keys, ours)
				n.requireGone("a", "b")
				n.requireHas("c", theirs, hour)
				n.requireList("list")
			})
		})
	}
}
