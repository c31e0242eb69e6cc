package value_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/value"
)

var taken = time.UnixMilli(1764495600000)

func TestAValueIsRandomAndHasNothingElseWithoutAnOwner(t *testing.T) {
	a, b := value.New(), value.New()
	assert.Regexp(t, "^[0-9a-f]{32}$", a)
	assert.NotEqual(t, a, b)
	_, _, ok := value.NameOf(a).Owner()
	assert.False(t, ok)
}

func TestAValueTellsItsOwnerAndSinceWhenAndNothingOfTheRandomPart(t *testing.T) {
	for _, owner := range []string{"x", "billing-7f9c pid 4242", " ", "a  b", "Zürich ☃", "12 34", strings.Repeat("o", value.MaxOwner)} {
		v := value.Owned(owner, taken)
		assert.Regexp(t, "^[0-9a-f]{32} 1764495600000 ", v)
		assert.Equal(t, owner, v[32+15:])
		n := value.NameOf(v)
		assert.Equal(t, value.Mark(v), n.Mark)
		assert.True(t, value.IsMark(n.Mark))
		got, since, ok := n.Owner()
		require.True(t, ok, owner)
		assert.Equal(t, owner, got)
		assert.True(t, since.Equal(taken))
		assert.NotContains(t, got, v[:8])
	}
}

func TestAMomentThatNoValueCanTellIsTheNearestOne(t *testing.T) {
	for at, want := range map[time.Time]int64{
		time.UnixMilli(-5): 0, {}: 0, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC): 9_999_999_999_999,
	} {
		_, since, ok := value.NameOf(value.Owned("o", at)).Owner()
		require.True(t, ok)
		assert.Equal(t, want, since.UnixMilli())
	}
}

func TestAnOwnerIsPrintableAndNotLong(t *testing.T) {
	for text, want := range map[string]bool{
		"billing-7f9c pid 4242": true, "é☃": true, "a\u0301": true, strings.Repeat("é", 64): true,
		"": false, "a\n": false, "a\tb": false, "\x00": false, "\x7f": false, "a\xff": false, "\u2028": false,
		"\u200b": false, "\u202e": false, "a\u00a0b": false, strings.Repeat("é", 64) + "e": false,
	} {
		assert.Equal(t, want, value.IsOwner(text), "%q", text)
	}
}

func TestValuesOfOthersHaveNoOwner(t *testing.T) {
	const random = "0123456789abcdef0123456789abcdef"
	for _, v := range []string{
		"", "x", value.Kept, random, random + " ", random + "  x", random + " 12", random + " 12 ", random + " x y",
		random + " -1 x", random + " +1 x", random + " 1.5 x", random + " 12345678901234 x", random + "0 12 x",
		random[1:] + " 12 x", strings.ToUpper(random) + " 12 x", random + " 12 x\n", random + " 12 \xff",
		random + " 12 " + strings.Repeat("x", value.MaxOwner+1), random + "\x0012 x", "{\"pid\":1} 12 secret",
	} {
		n := value.NameOf(v)
		assert.Equal(t, value.Mark(v), n.Mark)
		owner, since, ok := n.Owner()
		assert.False(t, ok, "%q", v)
		assert.Empty(t, owner)
		assert.Zero(t, since)
	}
}

func TestWhatAScriptTellsIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	assert.Less(t, len(value.ReadName(long).Mark), 200)
	n := value.ReadName("3f9a1c02 12 " + long)
	assert.Equal(t, "3f9a1c02", n.Mark)
	_, _, ok := n.Owner()
	assert.False(t, ok)
	assert.Equal(t, value.Name{}, value.ReadName(""))
}

func TestTheNameOfALockerTellsItsOwner(t *testing.T) {
	plain, owned := value.NewID(""), value.NewID("web 3")
	assert.Regexp(t, "^[0-9a-f]{16}$", plain)
	assert.Regexp(t, "^[0-9a-f]{16} web 3$", owned)
	mark, owner := value.ReadID(owned)
	assert.Equal(t, "web 3", owner)
	assert.True(t, value.IsMark(mark))
	for _, id := range []string{plain, "", "x", plain + " ", plain + "x", plain + " a\n", owned[1:]} {
		mark, owner := value.ReadID(id)
		assert.True(t, value.IsMark(mark))
		assert.Empty(t, owner, "%q", id)
	}
}

func TestOnlyEightHexadecimalDigitsAreAMark(t *testing.T) {
	assert.True(t, value.IsMark("3f9a1c02"))
	for _, text := range []string{"", "next", "none", "3f9a1c0", "3f9a1c022", "3F9A1C02", "3f9a1c0g", "lost on 1"} {
		assert.False(t, value.IsMark(text), text)
	}
}
