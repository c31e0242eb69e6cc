package round

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestACounterIsKeptForWholeMillisecondsHoweverLong(t *testing.T) {
	for keep, want := range map[time.Duration]int64{
		-1:                                  0,
		math.MinInt64:                       0,
		1:                                   1,
		time.Millisecond:                    1,
		time.Millisecond + 1:                2,
		time.Hour:                           3_600_000,
		math.MaxInt64:                       math.MaxInt64/1_000_000 + 1,
		math.MaxInt64 - time.Millisecond:    math.MaxInt64 / 1_000_000,
		math.MaxInt64 / 1_000_000 * 1000000: math.MaxInt64 / 1_000_000,
	} {
		assert.Equal(t, want, Fencing{Keep: keep}.keep(), keep)
	}
}
