package node

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMillisecondsBeyondADurationAreClamped(t *testing.T) {
	assert.Equal(t, 5*time.Second, milliseconds(5000))
	assert.Equal(t, -time.Millisecond, milliseconds(-1))
	assert.Equal(t, -time.Millisecond, milliseconds(math.MinInt64))
	assert.Greater(t, milliseconds(math.MaxInt64), time.Duration(math.MaxInt64)-time.Second)
}
