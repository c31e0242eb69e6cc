// Package figures is the arithmetic of the benchmarks.
package figures

import (
	"cmp"
	"math"
	"slices"
)

// Percentile returns the smallest of values that at least p percent of them do
// not exceed; 0 if there are none. values must be sorted.
func Percentile[T cmp.Ordered](values []T, p float64) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return values[min(max(rank, 1), len(values))-1]
}

// Median returns the middle of values, or the mean of the two in the middle;
// NaN if there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// MedianRatio returns the median of a[i]/b[i]: each ratio is one of figures that
// were taken in the same round, so that what slows a whole round down cancels
// out. Rounds without a figure on both sides are left out.
func MedianRatio(a, b []float64) float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if r := a[i] / b[i]; !math.IsNaN(r) && !math.IsInf(r, 0) {
			ratios = append(ratios, r)
		}
	}
	return Median(ratios)
}
