package rig

import "runtime"

// Goroutines returns how many goroutines there are: the least of some looks. While the
// runtime moves ended ones between its lists, 32 at a time, a look counts them as running.
func Goroutines() int {
	n := runtime.NumGoroutine()
	for range 5 {
		runtime.Gosched()
		n = min(n, runtime.NumGoroutine())
	}
	return n
}
