package interop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Those that lock several resources at once.
var arrays = []library{{name: "redlock4", node: true}, {name: "redlock5", node: true}}

func TestSectionsOfSeveralResourcesNeverOverlap(t *testing.T) {
	for _, theirs := range arrays {
		t.Run(theirs.name, func(t *testing.T) {
			theirs.require(t)
			limit := max(*sections/5, 100)
			r := contendFor(t, limit, []string{"a,b,c", "c,x,a", "b,a", "a"}, ours, theirs, ours, theirs)
			t.Log(r)
			assert.Zero(t, r.overlaps, r.first)
			assert.Equal(t, limit, r.sections)
			for _, l := range []library{theirs, ours} {
				assert.Positive(t, r.of(l).sections, "%s gets nothing", l.name)
			}
		})
	}
}

func TestSetsOfOthersAndOursThatOverlapAreRefusedAndTheRestIsLeftAlone(t *testing.T) {
	for _, theirs := range arrays {
		t.Run(theirs.name, func(t *testing.T) {
			t.Parallel()
			theirs.require(t)
			n := startNodes(t)
			for _, pair := range [][2]library{{theirs, ours}, {ours, theirs}} {
				holder, other := pair[0].start(t, n.addrs()), pair[1].start(t, n.addrs())
				require.Equal(t, "ok", holder.ask(t, "lock a,b %d", holderTTL.Milliseconds()))
				value := n.everywhere(t, "a")
				assert.Equal(t, value, n.everywhere(t, "b"), "the keys have different values")
				for _, set := range []string{"b,c", "c,a", "a", "b"} {
					assert.NotEqual(t, "ok", other.ask(t, "lock %s %d", set, holderTTL.Milliseconds()), set)
				}
				n.nowhere(t, "c", patience)
				require.Equal(t, "ok", other.ask(t, "lock c,d %d", holderTTL.Milliseconds()))
				require.Equal(t, "ok", holder.ask(t, "extend %d", holderTTL.Milliseconds()))
				require.Equal(t, "ok", holder.ask(t, "unlock"))
				n.nowhere(t, "a", patience)
				n.nowhere(t, "b", patience)
				require.Equal(t, "ok", other.ask(t, "unlock"))
				require.Equal(t, "ok", other.ask(t, "lock b,c %d", holderTTL.Milliseconds()))
				require.Equal(t, "ok", other.ask(t, "unlock"))
				for _, key := range []string{"b", "c", "d"} {
					n.nowhere(t, key, patience)
				}
			}
		})
	}
}
