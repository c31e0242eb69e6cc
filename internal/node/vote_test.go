package node

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMillisecondsBeyondADurationAreClamped(t *testing.T) {
	assert.Equal(t, 5*time.Second, Milliseconds(5000))
	assert.Equal(t, -time.Millisecond, Milliseconds(-1))
	assert.Equal(t, -time.Millisecond, Milliseconds(math.MinInt64))
	assert.Greater(t, Milliseconds(math.MaxInt64), time.Duration(math.MaxInt64)-time.Second)
}
