package inspect

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/value"
)

var errSilent = errors.New("no answer")

// sightsOf returns sights by a letter each: the value that is there, with - for nothing, k for
// what is kept for the next one, and ? for a node that has not told.
func sightsOf(text string) (all []Sight) {
	for i, letter := range strings.Split(text, "") {
		s := Sight{Node: i, Told: true}
		switch letter {
		case "?":
			s.Told, s.Err = false, errSilent
		case "k":
			s.Kept = true
		case "-":
		case "0":
			s.There = true // an empty value
		default:
			s.There, s.Value = true, letter
		}
		all = append(all, s)
	}
	return all
}

func TestAVerdictIsWhatNoOtherNodeCouldChange(t *testing.T) {
	for nodes, want := range map[string]struct {
		v  Verdict
		by string // a letter, or nothing
	}{
		"a": {Held, "a"}, "-": {Free, ""}, "k": {Free, ""}, "?": {Unknown, ""}, "0": {Held, "0"},
		"aaa": {Held, "a"}, "aa-": {Held, "a"}, "a?a": {Held, "a"}, "baa": {Held, "a"}, "00-": {Held, "0"},
		"---": {Free, ""}, "--?": {Free, ""}, "-k-": {Free, ""}, "-??": {Unknown, ""}, "???": {Unknown, ""},
		"a--": {Split, ""}, "ab-": {Split, ""}, "abc": {Split, ""}, "ak-": {Split, ""},
		"a-?": {Unknown, "a"}, "ab?": {Unknown, ""}, "a??": {Unknown, ""}, "?a-": {Unknown, "a"},
		"aa": {Held, "a"}, "a-": {Split, ""}, "a?": {Unknown, "a"}, "-?": {Free, ""},
		"aa--": {Split, ""}, "aaa-": {Held, "a"}, "aa-?": {Unknown, "a"}, "aab?": {Unknown, "a"},
		"aaabb": {Held, "a"}, "aabb-": {Split, ""}, "aabb?": {Unknown, ""}, "aab-?": {Unknown, "a"}, "aa???": {Unknown, ""},
		"a----": {Split, ""}, "a---?": {Split, ""}, "a--??": {Unknown, "a"}, "---??": {Free, ""},
	} {
		v, by, _ := Judge(sightsOf(nodes))
		assert.Equal(t, want.v, v, nodes)
		switch want.by {
		case "":
			assert.Zero(t, by, nodes)
		case "0":
			assert.Equal(t, value.NameOf(""), by, nodes)
		default:
			assert.Equal(t, value.NameOf(want.by), by, nodes)
		}
	}
}

// Whatever the nodes have told, the verdict is one that fits whatever the others have.
func TestAVerdictFitsWhateverTheOtherNodesHave(t *testing.T) {
	for _, nodes := range words("ab-k?", 5) {
		v, by, _ := Judge(sightsOf(nodes))
		could := map[Verdict]bool{}
		for _, full := range fill(nodes, "abc-") {
			w, other, _ := Judge(sightsOf(full))
			could[w] = true
			if w == Held && by.Mark != "" {
				assert.Equal(t, by, other, "%s: %s", nodes, full)
			}
		}
		switch v {
		case Unknown:
			assert.True(t, could[Held] && len(could) > 1, nodes)
		case Held:
			assert.Equal(t, map[Verdict]bool{Held: true}, could, nodes)
		case Free, Split:
			assert.False(t, could[Held], nodes)
			assert.Equal(t, v == Free, !strings.ContainsAny(nodes, "ab"), nodes)
		}
	}
}

// words returns all words of up to n of the letters.
func words(letters string, n int) (all []string) {
	last := []string{""}
	for range n {
		var longer []string
		for _, word := range last {
			for _, letter := range letters {
				longer = append(longer, word+string(letter))
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

// fill returns what a word becomes with any of the letters in the place of each ?.
func fill(word, letters string) []string {
	if !strings.Contains(word, "?") {
		return []string{word}
	}
	var all []string
	for _, letter := range letters {
		all = append(all, fill(strings.Replace(word, "?", string(letter), 1), letters)...)
	}
	return all
}

func TestAHolderLastsAsLongAsAMajorityKeepsItsValue(t *testing.T) {
	for _, tt := range []struct {
		nodes string
		left  []time.Duration
		want  time.Duration
	}{
		{"aaa", []time.Duration{3, 1, 2}, 2},
		{"aa-", []time.Duration{3, 1, 0}, 1},
		{"a-?", []time.Duration{3, 0, 0}, 3},
		{"aaa", []time.Duration{-1, 1, -1}, -1},
		{"aaa", []time.Duration{-1, 1, 2}, 2},
		{"aab", []time.Duration{0, 0, 9}, 0}, // less than a millisecond
		{"---", []time.Duration{0, 0, 0}, 0},
	} {
		sights := sightsOf(tt.nodes)
		for i := range sights {
			sights[i].Left = tt.left[i]
		}
		_, _, lasts := Judge(sights)
		assert.Equal(t, tt.want, lasts, "%s %v", tt.nodes, tt.left)
	}
}

func TestABreakWaitsForWhatCouldChangeIt(t *testing.T) {
	for nodes, want := range map[string]bool{
		"a": true, "b": true, "-": true, "..": false,
		"a..": false, "aa.": true, "a-.": true, "ab.": false, "b..": false, "bb.": true, "b-.": false, "--.": false, "a?.": true, "a?b": true,
		"a....": false, "a--..": true, "ab-..": false, "bbb..": true, "aab..": false, "aab-.": true,
	} {
		sights := sightsOf(nodes)
		for i := range sights {
			if nodes[i] == '.' {
				sights[i] = Sight{Node: i}
			}
		}
		c := tally(sights, value.Mark("a"))
		assert.Equal(t, want, c.enough(), nodes)
		assert.Equal(t, quorum.Size(len(nodes)), c.majority())
	}
}
