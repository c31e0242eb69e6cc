package script_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

const (
	limit   = int64(1)<<53 - 1
	counter = "{a}:redlock:token"
)

var fenced = []string{"a", counter}

// now returns the clock of the node in µs.
func (n *node) now() int64 {
	n.t.Helper()
	now, err := n.client.Time(n.t.Context()).Result()
	require.NoError(n.t, err)
	return now.UnixMicro()
}

// setCounter sets a counter as it stands in a key, or removes it if it is empty.
func (n *node) setCounter(key, value string, ttl int64) {
	n.t.Helper()
	if value == "" {
		require.NoError(n.t, n.client.Del(n.t.Context(), key).Err())
		return
	}
	n.set(key, value, ttl)
}

func TestAGrantSetsTheCounterToTheProposalOrOneMore(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, tt := range []struct {
			had            string
			proposal, want int64
		}{
			{"", 0, 1},
			{"", 1, 1},
			{"", 77, 77},
			{"0", 0, 1},
			{"1", 0, 2},
			{"76", 77, 77},
			{"77", 77, 78},
			{"78", 77, 79},
			{"9007199254740990", 0, limit},
			{"9007199254740989", 5, limit - 1},
			{"0077", 0, 78},
		} {
			n.setCounter(counter, tt.had, hour)
			n.requireReply(tt.want, script.AcquireFenced, fenced, ours, hour, 1, tt.proposal, day)
			n.requireHas("a", ours, hour)
			n.requireHas(counter, strconv.FormatInt(tt.want, 10), day)
			n.requireReply(1, script.Release, []string{"a"}, ours)
			n.requireHas(counter, strconv.FormatInt(tt.want, 10), day)
		}
	})
}

func TestTheProposalOfABadClockIsIgnored(t *testing.T) {
	t.Parallel()
	const hourInMicros, dayInMicros = 3_600_000_000, 86_400_000_000
	onEachRedis(t, func(n *node) {
		now := n.now()
		for _, ahead := range []int64{-dayInMicros, 0, hourInMicros, dayInMicros - hourInMicros} {
			n.setCounter(counter, "41", hour)
			n.requireReply(now+ahead, script.AcquireFenced, []string{"free", counter}, ours+strconv.FormatInt(ahead, 10), hour, 1, now+ahead, day)
			n.requireReply(1, script.Release, []string{"free"}, ours+strconv.FormatInt(ahead, 10))
		}
		for _, proposal := range []int64{now + dayInMicros + hourInMicros, 2 * now, limit} {
			n.setCounter(counter, "41", hour)
			n.requireReply(42, script.AcquireFenced, fenced, ours, hour, 1, proposal, day)
			n.requireReply(1, script.Release, []string{"a"}, ours)
			n.setCounter(counter, "", 0)
			n.requireReply(1, script.AcquireFenced, fenced, ours, hour, 1, proposal, day)
			n.requireReply(1, script.Release, []string{"a"}, ours)
		}
		// The token of a lock is not a proposal.
		n.requireReply(limit, script.AcquireFenced, fenced, ours, hour, 0, limit, day)
		n.requireReply(limit, script.ExtendFenced, fenced, ours, hour, limit, day)
	})
}

func TestAnAcquireThatIsSentAgainDoesNotCountAgain(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(7, script.AcquireFenced, fenced, ours, hour, 1, 7, day)
		n.requireOurs(7, script.AcquireFenced, fenced, ours, hour, 1, 7, day)
		n.requireOurs(7, script.AcquireFenced, fenced, ours, day, 1, 9, day)
		n.requireHas("a", ours, hour)
		n.setCounter(counter, "", 0)
		n.requireOurs(9, script.AcquireFenced, fenced, ours, hour, 1, 9, day)
		n.setCounter(counter, "", 0)
		n.requireOurs(1, script.AcquireFenced, fenced, ours, hour, 1, 0, day)
		n.setCounter(counter, "9007199254740991", day)
		n.requireOurs(limit, script.AcquireFenced, fenced, ours, hour, 1, 9, day)
	})
}

func TestARefusalLeavesTheCounterAlone(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.set("a", theirs, hour)
		n.set(counter, "41", hour)
		reply, err := n.run(script.AcquireFenced, fenced, ours, day, 1, 50, day)
		require.NoError(n.t, err)
		require.Len(n.t, reply, 2)
		require.Equal(n.t, n.requireRefusal([]string{"a"}, ours, day).mark, reply.([]any)[1])
		n.requireReply(-2, script.ExtendFenced, fenced, ours, day, 50, day)
		n.requireReply(-2, script.ExtendFenced, fenced, ours, 0, 50, day)
		n.requireHas(counter, "41", hour)
		n.requireReply(-1, script.ExtendFenced, []string{"b", counter}, ours, 0, 50, day)
		n.requireHas(counter, "41", hour)
		n.requireHas("a", theirs, hour)
	})
}

func TestAnExtensionBringsTheCounterToTheToken(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, tt := range []struct {
			had         string
			token, want int64
		}{
			{"", 5, 5}, {"4", 5, 5}, {"5", 5, 5}, {"6", 5, 6}, {"9007199254740991", 5, limit},
		} {
			for _, ttl := range []int64{0, day} {
				n.set("a", ours, hour)
				n.setCounter(counter, tt.had, hour)
				n.requireReply(tt.want, script.ExtendFenced, fenced, ours, ttl, tt.token, day)
				n.requireHas("a", ours, max(ttl, hour))
				n.requireHas(counter, strconv.FormatInt(tt.want, 10), day)
			}
		}
		n.set("a", ours, day)
		n.requireReply(limit, script.ExtendFenced, fenced, ours, hour, 5, day)
		n.requireHas("a", ours, day)
	})
}

func TestALockThatIsPutBackBringsItsToken(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, tt := range []struct {
			had         string
			token, want int64
		}{
			{"", 5, 5}, {"4", 5, 5}, {"5", 5, 5}, {"6", 5, 6}, {"9007199254740991", 5, limit},
		} {
			n.setCounter("a", "", 0)
			n.setCounter(counter, tt.had, hour)
			for _, require := range []func(int64, *script.Script, []string, ...any){n.requireReply, n.requireOurs} {
				require(tt.want, script.AcquireFenced, fenced, ours, hour, 0, tt.token, day)
				n.requireHas("a", ours, hour)
				n.requireHas(counter, strconv.FormatInt(tt.want, 10), day)
			}
		}
	})
}

func TestNoCommandShortensTheLifeOfACounter(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, tt := range []struct{ had, keep, want int64 }{
			{hour, day, day}, {day, hour, day}, {0, hour, 0}, {hour, 0, 0}, {day, 1, day},
		} {
			for name, args := range map[string][]any{
				"grant":  {ours, day, 1, 9, tt.keep},
				"extend": {ours, day, 9, tt.keep},
				"back":   {ours, day, 0, 9, tt.keep},
			} {
				n.setCounter("a", "", 0)
				s := script.AcquireFenced
				if name == "extend" {
					n.set("a", ours, hour)
					s = script.ExtendFenced
				}
				n.set(counter, "9", tt.had)
				_, err := n.run(s, fenced, args...)
				require.NoError(n.t, err)
				n.requireHas(counter, n.client.Get(n.t.Context(), counter).Val(), tt.want)
			}
		}
	})
}

func TestACounterThatCannotGrowRefuses(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, had := range []string{"9007199254740991", "9007199254740992", "9007199254740993", "99999999999999999999999999", "1" + strings.Repeat("0", 400)} {
			n.set(counter, had, day)
			for _, s := range []*script.Script{script.AcquireFenced, script.AcquireGateFenced} {
				keys, args := fenced, []any{ours, hour, 1, 7, day}
				if s == script.AcquireGateFenced {
					keys, args = []string{"a", "line", "next", counter}, []any{ours, hour, "me", "", 7, day}
				}
				_, err := n.run(s, keys, args...)
				require.ErrorContains(n.t, err, "TOKENLIMIT")
				n.requireGone("a")
				n.requireHas(counter, had, day)
			}
		}
	})
}

func TestWhatIsNoCounterIsAnErrorThatChangesNothing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		for _, had := range []string{"-1", "1.5", "1e3", "0x10", " 1", "1 ", "nan", "inf", ours, "7\n"} {
			n.set(counter, had, day)
			n.setCounter("a", "", 0)
			_, err := n.run(script.AcquireFenced, fenced, ours, hour, 1, 7, day)
			require.ErrorContains(n.t, err, "not a number", "%q", had)
			n.requireGone("a")
			n.set("a", ours, hour)
			_, err = n.run(script.ExtendFenced, fenced, ours, day, 7, day)
			require.ErrorContains(n.t, err, "not a number", "%q", had)
			n.requireHas("a", ours, hour)
			n.requireHas(counter, had, day)
		}
		n.setCounter(counter, "", 0)
		n.setList(counter)
		n.requireWrongType(script.AcquireFenced, []string{"free", counter}, ours, hour, 1, 7, day)
		n.requireGone("free")
		n.requireList(counter)
	})
}

func TestSeveralResourcesHaveOneToken(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		keys := []string{"x", "y", "z", "cx", "cy", "cz"}
		n.set("cx", "3", hour)
		n.set("cz", "8", hour)
		n.requireReply(9, script.AcquireFenced, keys, ours, hour, 1, 0, day)
		for _, c := range keys[3:] {
			n.requireHas(c, "9", day)
		}
		n.requireReply(1, script.Release, []string{"y"}, ours)
		n.set("cy", "20", hour)
		n.requireReply(21, script.AcquireFenced, keys, ours, hour, 1, 0, day) // y is taken anew
		n.requireOurs(21, script.AcquireFenced, keys, ours, hour, 1, 0, day)
		n.set("cx", "5", hour)
		n.requireOurs(21, script.AcquireFenced, keys, ours, hour, 1, 0, day)
		n.requireHas("cx", "21", day)
		n.requireReply(30, script.ExtendFenced, keys, ours, day, 30, day)
		for i, c := range keys[3:] {
			n.requireHas(c, "30", day)
			n.requireHas(keys[i], ours, day)
		}
		n.set("y", theirs, hour)
		n.requireReply(-2, script.ExtendFenced, keys, ours, day, 40, day)
		n.requireHas("cx", "30", day)
	})
}

func TestTheGateGrantsTokensToo(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		keys := []string{"a", "line", "next", counter}
		n.set(counter, "41", hour)
		n.requireReply(42, script.AcquireGateFenced, keys, ours, hour, "me", "now", 7, day)
		n.requireHas("a", ours, hour)
		n.requireHas(counter, "42", day)
		n.requireOurs(42, script.AcquireGateFenced, keys, ours, hour, "me", "now", 99, day)
		reply, err := n.run(script.AcquireGateFenced, keys, theirs, hour, "you", "now", 99, day)
		require.NoError(n.t, err)
		require.Len(n.t, reply, 4)
		n.requireHas(counter, "42", day)
		n.requireReply(1, script.Release, []string{"a"}, ours)
		n.set("next", "me", 900)
		reply, err = n.run(script.AcquireGateFenced, keys, theirs, hour, "you", "", 99, day)
		require.NoError(n.t, err)
		require.Equal(n.t, "next", reply.([]any)[1], "it is somebody else's turn")
		n.requireHas(counter, "42", day)
		n.requireReply(99, script.AcquireGateFenced, keys, ours, hour, "me", "", 99, day)
	})
}

// A sequence of commands to one counter, against what the scripts are meant to do,
// told in Go.
func TestTheCounterFollowsItsDescription(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		owner, count := "", int64(0)
		for i := range 600 {
			who := []string{ours, theirs, others}[i*7%3]
			asked := int64(i*i%97) * 3
			switch i * 5 % 4 {
			case 0, 1:
				reply, err := n.run(script.AcquireFenced, fenced, who, hour, 1, asked, day)
				require.NoError(n.t, err)
				switch owner {
				case "":
					owner, count = who, max(count+1, asked)
					require.Equal(n.t, count, reply, i)
				case who:
					require.Equal(n.t, count, reply, i)
				default:
					require.IsType(n.t, []any{}, reply, i)
				}
			case 2:
				want := int64(-1)
				switch owner {
				case "":
				case who:
					count = max(count, asked, 1)
					want = count
				default:
					want = -2
				}
				n.requireReply(want, script.ExtendFenced, fenced, who, 0, asked, day)
			default:
				_, err := n.run(script.Release, []string{"a"}, who)
				require.NoError(n.t, err)
				if owner == who {
					owner = ""
				}
			}
		}
		n.requireHas(counter, strconv.FormatInt(count, 10), day)
		require.Greater(n.t, count, int64(97*2))
	})
}

func TestTheFirstLineOfEachFencedScriptNamesKeysArgumentsAndResult(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"acquire_fenced", "extend_fenced", "acquire_gate"} {
		b, err := os.ReadFile(name + ".lua") //nolint:gosec // one of ours
		require.NoError(t, err)
		line, code, _ := strings.Cut(string(b), "\n")
		assert.Regexpf(t, `^-- KEYS resource.*counter.*; ARGV\[1\] value.*; returns `, line, name)
		for _, used := range regexp.MustCompile(`ARGV\[\d\]`).FindAllString(code, -1) {
			assert.Containsf(t, line, used, name)
		}
	}
}

func TestACounterLiesInTheSlotOfItsResource(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]string{
		"invoice:42": "{invoice:42}:redlock:token",
		"{a}b":       "{a}b:redlock:token",
		"x{a}b{c}":   "x{a}b{c}:redlock:token",
		"{":          "{{}:redlock:token",
		"a{b":        "{a{b}:redlock:token",
	} {
		assert.True(t, script.Tags(resource), resource)
		assert.Equal(t, want, script.Counter(resource))
	}
	for _, resource := range []string{"}", "{}", "a}b", "{}{a}"} {
		assert.False(t, script.Tags(resource), resource)
	}
}
