package text_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/text"
)

func TestDurationsAreShownWithThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 158643: "159µs", 1234567: "1.23ms", 99_999_999: "100ms", 12_345_678_900: "12.3s", -1234567: "-1.23ms",
	} {
		assert.Equal(t, want, text.Rounded(d).String())
	}
}

func TestDurationsAreRoughForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1_234_567: "1ms", 1_234_567_890: "1.2s", 12_345_678_900: "12s",
	} {
		assert.Equal(t, want, text.Rough(d).String())
	}
	for d, want := range map[time.Duration]string{
		49 * time.Hour: "2d1h", 90 * time.Minute: "1h30m", 90 * time.Second: "1m30s",
	} {
		assert.Equal(t, want, text.Age(d))
	}
}

func TestColumnsStandOneBelowTheOther(t *testing.T) {
	assert.Equal(t, []string{"A   LONG", "äö  x", "1"}, text.Columns([][]string{{"A", "NONE", "LONG"}, {"äö", "", "x"}, {"1", "", ""}}))
	assert.Empty(t, text.Columns(nil))
	assert.Equal(t, []string{"one two", "three"}, text.Wrap("one  two three", 7))
	assert.Equal(t, []string{"longer", "a"}, text.Wrap("longer a", 3))
}

func TestWhatOthersPutIntoATextIsOneShortLineOfUTF8(t *testing.T) {
	assert.Equal(t, "a b c \uFFFD", text.OneLine("a\nb\u2028c \xff"))
	assert.Equal(t, `"a\nb"`, text.Quote("a\nb"))
	long := strings.Repeat("x", 600)
	assert.Equal(t, `"`+long[:100]+`"… (600 bytes)`, text.Quote(long))
	assert.Equal(t, long[:500]+"… (600 bytes)", text.Shorten(long))
	assert.Equal(t, []string{"0 nodes", "1 node", "2 nodes"}, []string{text.Many(0, "node"), text.Many(1, "node"), text.Many(2, "node")})
}
