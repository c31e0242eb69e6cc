package script_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/value"
)

// valuesToName are values of this library and of others, and what is nearly one of this library.
var valuesToName = []string{
	ours, value.Owned("billing-7f9c pid 4242", time.UnixMilli(1764495600000)), value.Owned("Zürich ☃", time.UnixMilli(0)),
	value.Owned(strings.Repeat("o", value.MaxOwner), time.UnixMilli(9_999_999_999_999)),
	ours + " 12", ours + " 12 ", ours + "  12 x", ours + " 12 \xff", ours + " 12 a\nb", ours + " 12 \x00", ours + "\x0012 x",
	ours + " 12345678901234 x", ours + " 1234567890123 " + strings.Repeat("x", value.MaxOwner+1), ours + "0 12 x", ours[1:] + " 12 x",
	strings.ToUpper(ours) + " 12 x", ours[:31] + "g 12 x", "", " ", "x", "\x00", "0123 12 x", "other library's value", ours + " 12 x y z",
	strings.Repeat("a", 1000), strings.Repeat("0", 32) + " 0 0",
}

func TestARefusalTellsTheOwnerThatTheValueTells(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, v := range valuesToName {
			n.requireNamed(v)
		}
	})
}

// requireNamed requires that the scripts name a value as Go does, and have nothing of its
// random part in that.
func (n *node) requireNamed(v string) {
	n.t.Helper()
	n.set("a", v, hour)
	r := n.requireRefusal([]string{"a"}, theirs, hour)
	n.requireName(v, r.mark)
	reply, err := n.run(script.AcquireGate, []string{"a", "{a}:redlock:line", "{a}:redlock:next"}, theirs, hour, "me", "")
	require.NoError(n.t, err)
	n.requireName(v, reply.([]any)[1].(string))
}

func (n *node) requireName(v, told string) {
	n.t.Helper()
	want, got := value.NameOf(v), value.ReadName(told)
	if _, _, ok := want.Owner(); ok {
		require.Equal(n.t, value.Tell(v), told)
	}
	require.Equal(n.t, want.Mark, value.ReadName(value.Tell(v)).Mark)
	require.Equal(n.t, want.Mark, got.Mark, "%q", v)
	owner, since, ok := want.Owner()
	gotOwner, gotSince, gotOK := got.Owner()
	require.Equal(n.t, ok, gotOK, "%q", v)
	require.Equal(n.t, owner, gotOwner, "%q", v)
	require.True(n.t, since.Equal(gotSince), "%q", v)
	if ok {
		require.NotContains(n.t, told, v[:32])
	}
}

func FuzzTheScriptsNameAValueAsGoDoes(f *testing.F) {
	for _, v := range valuesToName {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		if string(v) == value.Kept || string(v) == theirs {
			t.Skip("it is no other holder's")
		}
		n := &node{t, newMemoryRedis(t)}
		n.requireNamed(string(v))
		n.requireNamed(ours + " " + string(v)) // what is nearly one of this library
	})
}
