package figures_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/test/benchmarks/internal/figures"
)

func TestAPercentileIsOneOfTheValues(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tt := range []struct {
		name   string
		values []int
		p      float64
		want   int
	}{
		{"none", nil, 50, 0},
		{"one", []int{7}, 99.9, 7},
		{"the lowest", hundred, 0, 1},
		{"p50", hundred, 50, 50},
		{"p99", hundred, 99, 99},
		{"p99.9 of a hundred is the highest", hundred, 99.9, 100},
		{"the highest", hundred, 100, 100},
		{"p50 of two is the lower", []int{1, 2}, 50, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, figures.Percentile(tt.values, tt.p))
		})
	}
}

func TestTheMedianDoesNotDependOnTheOrder(t *testing.T) {
	values := []float64{9, 1, 5}
	assert.InDelta(t, 5, figures.Median(values), 0)
	assert.Equal(t, []float64{9, 1, 5}, values, "the argument is left alone")
	assert.InDelta(t, 3, figures.Median([]float64{9, 1, 5, 1}), 0)
	assert.True(t, math.IsNaN(figures.Median(nil)))
}

func TestARatioIsTakenWithinItsRound(t *testing.T) {
	// The second round ran on a machine half as fast: a ratio of the medians
	// would not be 2.
	a, b := []float64{2, 40, 6}, []float64{1, 20, 3}
	assert.InDelta(t, 2, figures.MedianRatio(a, b), 0)
	assert.InDelta(t, 3, figures.MedianRatio([]float64{3, 1}, []float64{1, 0}), 0, "a round without a figure")
	assert.InDelta(t, 4, figures.MedianRatio([]float64{4, 9}, []float64{1}), 0, "a round that one did not reach")
	assert.True(t, math.IsNaN(figures.MedianRatio(nil, nil)))
}
