package script_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

func TestAcquireTakesFreeKeysForTheTTL(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.Acquire, []string{"a"}, ours, hour)
		n.requireHas("a", ours, hour)
		n.requireReply(1, script.Acquire, []string{"b", "c", "d"}, ours, day)
		for _, key := range []string{"b", "c", "d"} {
			n.requireHas(key, ours, day)
		}
		n.requireReply(1, script.Acquire, []string{"e", "e"}, ours, hour)
		n.requireHas("e", ours, hour)
		require.Equal(n.t, int64(5), n.client.DBSize(n.t.Context()).Val())
	})
}

func TestAcquireOfWhatIsOursLeavesItsTimeAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		first, copy int64
	}{
		{"a copy does not shorten", day, hour},
		{"a copy does not lengthen", hour, day},
		{"a key without expiry stays without", 0, hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				n.set("a", ours, tt.first)
				n.requireOurs(1, script.Acquire, []string{"a"}, ours, tt.copy)
				n.requireHas("a", ours, tt.first)
			})
		})
	}
}

func TestAcquireIsIdempotent(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, require := range []func(int64, *script.Script, []string, ...any){n.requireReply, n.requireOurs, n.requireOurs} {
			require(1, script.Acquire, []string{"a", "b"}, ours, hour)
			n.requireHas("a", ours, hour)
			n.requireHas("b", ours, hour)
		}
	})
}

func TestAcquireArmsOnlyTheKeysThatAreGone(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", ours, day)
		n.set("c", ours, 0)
		n.requireReply(1, script.Acquire, []string{"a", "b", "c", "d"}, ours, hour)
		n.requireHas("a", ours, day)
		n.requireHas("b", ours, hour)
		n.requireHas("c", ours, 0)
		n.requireHas("d", ours, hour)
	})
}

func TestRefusalSaysForHowLongAndByWhom(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", theirs, hour)
		n.set("b", others, 0)
		a := n.requireRefusal([]string{"a"}, ours, day)
		requireMost(n.t, hour, a.remaining)
		n.requireHas("a", theirs, hour)

		b := n.requireRefusal([]string{"b"}, ours, day)
		require.Equal(n.t, int64(-1), b.remaining, "it has no expiry")
		n.requireHas("b", others, 0)

		require.NotEqual(n.t, a.mark, b.mark)
		for _, key := range []string{"a", "c"} {
			n.set(key, theirs, day)
			require.Equal(n.t, a.mark, n.requireRefusal([]string{key}, ours, hour).mark, "one holder, one mark")
		}
	})
}

func TestMarkTellsHoldersApartAndNotTheirValues(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		seen := make(map[string]string)
		for _, value := range []string{
			theirs, others, strings.ToUpper(theirs), theirs[:8], theirs[:31], theirs + "0", "x", "", "0",
			"\x00", "\x00\x00", "\xff\xfe", "with\nnewline", strings.Repeat("v", 1<<16),
		} {
			n.set("a", value, hour)
			mark := n.requireRefusal([]string{"a"}, ours, day).mark
			require.Len(n.t, mark, 8)
			require.Regexp(n.t, "^[0-9a-f]{8}$", mark)
			require.NotContains(n.t, value, mark)
			if value != "" && value != "0" { // a mark may well have a 0 in it
				require.NotContains(n.t, mark, value)
			}
			require.NotContainsf(n.t, seen, mark, "%.40q and %.40q", value, seen[mark])
			seen[mark] = value
		}
	})
}

func TestAcquireTakesAllKeysOrNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		theirs    map[string]int64
		remaining int64
	}{
		{"the first is held", map[string]int64{"a": hour}, hour},
		{"the middle one is held", map[string]int64{"b": hour}, hour},
		{"the last is held", map[string]int64{"c": hour}, hour},
		{"the longest counts, first", map[string]int64{"a": day, "b": hour}, day},
		{"the longest counts, last", map[string]int64{"a": hour, "c": day}, day},
		{"no expiry counts as longest, first", map[string]int64{"a": 0, "b": hour, "c": day}, -1},
		{"no expiry counts as longest, last", map[string]int64{"a": hour, "c": 0}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				for key, ttl := range tt.theirs {
					n.set(key, theirs, ttl)
				}
				n.set("d", ours, hour)
				r := n.requireRefusal([]string{"a", "b", "c", "d"}, ours, 2*day)
				if tt.remaining < 0 {
					require.Equal(n.t, int64(-1), r.remaining)
				} else {
					requireMost(n.t, tt.remaining, r.remaining)
				}
				for _, key := range []string{"a", "b", "c"} {
					if ttl, held := tt.theirs[key]; held {
						n.requireHas(key, theirs, ttl)
					} else {
						n.requireGone(key)
					}
				}
				n.requireHas("d", ours, hour)
			})
		})
	}
}

func TestRefusalOfSeveralHoldersNamesTheFirst(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", theirs, hour)
		n.set("b", others, hour)
		a := n.requireRefusal([]string{"a"}, ours, day).mark
		b := n.requireRefusal([]string{"b"}, ours, day).mark
		require.Equal(n.t, a, n.requireRefusal([]string{"a", "b"}, ours, day).mark)
		require.Equal(n.t, b, n.requireRefusal([]string{"b", "a"}, ours, day).mark)
	})
}
