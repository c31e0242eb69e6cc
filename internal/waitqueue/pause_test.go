package waitqueue

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLinePauseIsLongerTheMoreAreBeforeAndTheOlderTheRefusal(t *testing.T) {
	for _, tt := range []struct {
		name       string
		left       time.Duration
		rank       int
		age        time.Duration
		from, most time.Duration
	}{
		{"the head", -1, 0, 0, 37 * ms, 63 * ms},
		{"not in the line", -1, -1, 0, 37 * ms, 63 * ms},
		{"many before", -1, 50, 0, 750 * ms, 1250 * ms},
		{"very many before", -1, 1 << 40, 0, 1500 * ms, 2500 * ms},
		{"an old refusal", -1, 0, time.Hour, 300 * ms, 500 * ms},
		{"lasts as long as a duration can be", math.MaxInt64, 0, 0, 37 * ms, 63 * ms},
		{"so too, with many before", math.MaxInt64, 50, 0, 750 * ms, 1250 * ms},
		{"runs out soon", 10 * ms, 0, time.Hour, 11 * ms, 11 * ms},
		{"runs out soon, for the next but one", 10 * ms, 2, 0, 21 * ms, 21 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, u := range []float64{0, 0.5, 0.999} {
				got := linePause(tt.left, tt.rank, tt.age, u)
				assert.GreaterOrEqual(t, got, tt.from)
				assert.LessOrEqual(t, got, tt.most)
			}
		})
	}
}

func TestWhoLooksByItselfLooksOftenWhenItsTurnIsNear(t *testing.T) {
	for _, tt := range []struct {
		name       string
		left       time.Duration
		rank       int
		age        time.Duration
		from, most time.Duration
	}{
		{"the first one", -1, 0, 0, 500 * time.Microsecond, 1 * ms},
		{"the third one", time.Hour, 2, 0, 2 * ms, 4 * ms},
		{"the first one, of an old holder", time.Hour, 0, time.Hour, 50 * ms, 100 * ms},
		{"the third one, of an old holder", time.Hour, 2, time.Hour, 100 * ms, 200 * ms},
		{"the first one, of a holder of a second", time.Hour, 0, time.Second, 10 * ms, 20 * ms},
		{"not in the line", -1, -1, 0, 500 * time.Microsecond, 1 * ms},
		{"very many before", -1, 1 << 40, 0, time.Second, 2 * time.Second},
		{"lasts as long as a duration can be", math.MaxInt64, 0, time.Hour, 50 * ms, 100 * ms},
		{"runs out soon", 10 * ms, 0, time.Hour, 11 * ms, 11 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, u := range []float64{0, 0.5, 0.999} {
				got := lookPause(tt.left, tt.rank, tt.age, u)
				assert.GreaterOrEqual(t, got, tt.from)
				assert.LessOrEqual(t, got, tt.most)
			}
		})
	}
}
