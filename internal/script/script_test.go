package script_test

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

func TestAcquireWithABadTTLIsAnErrorThatChangesNothing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, ttl := range []any{0, -1, int64(math.MinInt64), "", "soon"} {
			_, err := n.run(script.Acquire, []string{"a", "b"}, ours, ttl)
			require.Error(n.t, err, "ttl %v", ttl)
			n.requireGone("a", "b")
		}
	})
}

func TestEveryResourceNameGoesThrough(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, resource string }{
		{"plain", "invoice:42"},
		{"NUL", "a\x00b\x00"},
		{"newlines", "a\r\nb\n"},
		{"braces", "{a}b{}{{c}}"},
		{"invalid UTF-8", "\xff\xfe\x80\xc3("},
		{"UTF-8", "grün 🔒"},
		{"quotes and Lua", `"]] .. KEYS[1] .. [["'\`},
		{"a space", " "},
		{"a number", "0"},
		{"64 KiB", strings.Repeat("0123456789abcde\x00", 1<<12)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(n *node) {
				key := tt.resource
				n.requireReply(1, script.Acquire, []string{key, "second"}, ours, hour)
				n.requireHas(key, ours, hour)
				n.requireRefusal([]string{"third", key}, theirs, hour)
				n.requireReply(-2, script.Extend, []string{key}, theirs, day)
				n.requireReply(1, script.Extend, []string{key, "second"}, ours, day)
				n.requireHas(key, ours, day)
				n.requireReply(-1, script.Release, []string{key}, theirs)
				n.requireReply(1, script.Release, []string{"second", key}, ours)
				require.Zero(n.t, n.client.DBSize(n.t.Context()).Val())
			})
		})
	}
}

func TestValuesAreComparedByteByByte(t *testing.T) {
	t.Parallel()
	values := []string{"1", "1.0", "01", " 1", "a\x00b", "a\x00c", "a", "\xff", "\xfe", "true", "nil", strings.Repeat("v", 1<<16)}
	onEachRedis(t, func(n *node) {
		for i, mine := range values {
			n.requireReply(1, script.Acquire, []string{"a"}, mine, hour)
			for j, other := range values {
				if i != j {
					n.requireRefusal([]string{"a"}, other, hour)
					n.requireReply(-2, script.Extend, []string{"a"}, other, hour)
					n.requireReply(-1, script.Release, []string{"a"}, other)
				}
			}
			n.requireReply(1, script.Extend, []string{"a"}, mine, hour)
			n.requireReply(1, script.Release, []string{"a"}, mine)
		}
	})
}

func TestManyKeysAtOnce(t *testing.T) {
	t.Parallel()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.Acquire, keys, ours, hour)
		n.requireReply(1, script.Extend, keys, ours, day)
		n.requireHas(keys[999], ours, day)
		n.requireReply(1, script.Release, keys, ours)
		require.Zero(n.t, n.client.DBSize(n.t.Context()).Val())
	})
}

func TestKeyEndsAfterItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{t, newMemoryRedis(t)}
		n.requireReply(1, script.Acquire, []string{"a"}, ours, 10_000)
		time.Sleep(4 * time.Second)
		require.Equal(t, int64(6000), n.requireRefusal([]string{"a"}, theirs, 10_000).remaining)
		n.requireOurs(1, script.Acquire, []string{"a"}, ours, 10_000) // a late copy
		n.requireReply(1, script.Extend, []string{"a"}, ours, 5_000)  // and another
		time.Sleep(6*time.Second - time.Millisecond)
		require.Equal(t, int64(1), n.requireRefusal([]string{"a"}, theirs, 10_000).remaining)
		time.Sleep(2 * time.Millisecond)
		n.requireReply(-1, script.Extend, []string{"a"}, ours, 10_000)
		n.requireReply(-1, script.Release, []string{"a"}, ours)
		n.requireReply(1, script.Acquire, []string{"a"}, theirs, 10_000)
	})
}

func TestExtensionSetsTheTTLAnewAndDoesNotAdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{t, newMemoryRedis(t)}
		n.requireReply(1, script.Acquire, []string{"a"}, ours, 10_000)
		time.Sleep(4 * time.Second)
		n.requireReply(1, script.Extend, []string{"a"}, ours, 10_000)
		require.Equal(t, int64(10_000), n.requireRefusal([]string{"a"}, theirs, 1).remaining)
		n.requireReply(1, script.Extend, []string{"a"}, ours, 10_001)
		require.Equal(t, int64(10_001), n.requireRefusal([]string{"a"}, theirs, 1).remaining)
	})
}

func TestScriptsAreSentByNameOnceTheNodeKnowsThem(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for name, s := range scripts() {
			evalsha := s.Args([]any{"a"}, ours, hour)
			require.Equal(n.t, "evalsha", evalsha[0])
			err := n.client.Do(n.t.Context(), evalsha...).Err()
			require.Truef(n.t, redis.HasErrorPrefix(err, "NOSCRIPT"), "%s: %v", name, err)
			require.NoError(n.t, n.client.Do(n.t.Context(), s.Eval(evalsha)...).Err(), name)
			require.NoError(n.t, n.client.Do(n.t.Context(), evalsha...).Err(), name)

			known, err := n.client.ScriptLoad(n.t.Context(), source(s, 1)).Result()
			require.NoError(n.t, err)
			require.Equal(n.t, known, evalsha[1], name)
		}
	})
}

func TestArgumentsAreKeysThenArguments(t *testing.T) {
	t.Parallel()
	room := [8]any{"a", "b"}
	keys := room[:2]
	evalsha := script.Acquire.Args(keys, ours, hour)
	require.Len(t, evalsha, 7)
	assert.Equal(t, []any{2, "a", "b", ours, hour}, evalsha[2:])
	before := append([]any(nil), evalsha...)

	eval := script.Acquire.Eval(evalsha)
	assert.Equal(t, []any{"eval", source(script.Acquire, 2)}, eval[:2])
	assert.Equal(t, evalsha[2:], eval[2:])
	// The arguments are shared by all nodes: nothing may write into them.
	eval[3] = "changed"
	assert.Equal(t, before, evalsha)
	assert.Equal(t, [8]any{"a", "b"}, room)
}

func TestFirstLineOfEachScriptNamesKeysArgumentsAndResult(t *testing.T) {
	t.Parallel()
	for name, s := range scripts() {
		line, code, _ := strings.Cut(source(s, 2), "\n")
		assert.Regexpf(t, `^-- KEYS \w.*; ARGV\[1\] value.*; returns 1 `, line, name)
		for _, used := range regexp.MustCompile(`ARGV\[\d\]`).FindAllString(code, -1) {
			assert.Containsf(t, line, used, name)
		}
		for _, result := range regexp.MustCompile(`return (-?\d)`).FindAllStringSubmatch(code, -1) {
			assert.Regexpf(t, `(returns|,) `+result[1]+` if`, line, name)
		}
	}
}

func scripts() map[string]*script.Script {
	return map[string]*script.Script{"acquire": script.Acquire, "extend": script.Extend, "release": script.Release}
}

// source returns the text of a script as it is sent for so many keys.
func source(s *script.Script, keys int) string {
	text, _ := s.Eval(s.Args(make([]any, keys), ours))[1].(string)
	return text
}

func TestTheScriptsForOneResourceNameTheirKeysByNumbers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]struct {
		script *script.Script
		keys   int
	}{
		"acquire": {script.Acquire, 1}, "extend": {script.Extend, 1}, "release": {script.Release, 1},
		"acquire, fenced": {script.AcquireFenced, 2}, "extend, fenced": {script.ExtendFenced, 2},
		"acquire at the gate": {script.AcquireGate, 3}, "release at the gate": {script.ReleaseGate, 3},
		"acquire at the gate, fenced": {script.AcquireGateFenced, 4},
	} {
		for line := range strings.SplitSeq(source(s.script, s.keys), "\n") {
			code, _, _ := strings.Cut(line, "--")
			rest := regexp.MustCompile(`KEYS\[[1-4]\]`).ReplaceAllString(code, "")
			assert.NotContains(t, rest, "KEYS", name)
		}
	}
}

func TestEachVersionOfAScriptHasANumberOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := make(map[int]bool)
	for _, s := range []*script.Script{
		script.Acquire, script.Extend, script.Release, script.AcquireGate, script.ReleaseGate, script.AcquireGates, script.ReleaseGates,
		script.AcquireFenced, script.AcquireGateFenced, script.AcquireGatesFenced, script.ExtendFenced,
	} {
		for keys := range 9 {
			args := s.Args(make([]any, keys), ours)
			seen[s.Index(args)] = true
			if q, args := s.Quarantine(args, 1); q != nil {
				seen[q.Index(args)] = true
			}
		}
	}
	assert.Len(t, seen, script.Count)
	for i := range script.Count {
		assert.True(t, seen[i], i)
	}
}
