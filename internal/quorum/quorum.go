// Package quorum is the arithmetic of the Redlock algorithm: how many nodes
// make a majority, how long a lock is valid, what a set of votes decides and
// how long to pause before the next attempt. It does no I/O, reads no clock
// and keeps no state between calls.
package quorum

import (
	"math"
	"time"
)

// Size returns how many of nodes make a majority.
func Size(nodes int) int { return nodes/2 + 1 }

// Spare returns how many of nodes can miss without costing the majority.
func Spare(nodes int) int { return nodes - Size(nodes) }

// minDrift is added to every drift. It covers the resolution of Redis' expiry,
// 1 ms, on both ends of the TTL.
const minDrift = 2 * time.Millisecond

// Drift returns the part of ttl that is set aside because the clocks of nodes
// and client do not run at quite the same rate: ttl times factor, rounded to
// milliseconds, plus 2 ms.
func Drift(ttl time.Duration, factor float64) time.Duration {
	ms := math.Round(float64(ttl) / float64(time.Millisecond) * factor)
	if !(ms > 0) { // written so that NaN fails too
		return minDrift
	}
	return saturate(ms*float64(time.Millisecond), minDrift)
}

// Validity returns how much of ttl is left when elapsed has passed since just
// before the first command was sent. It is never negative and never above ttl.
func Validity(ttl, elapsed, drift time.Duration) time.Duration {
	drift, elapsed = max(drift, 0), max(elapsed, 0)
	if ttl <= drift {
		return 0
	}
	return max(ttl-drift-elapsed, 0)
}

// Bounds of NodeTimeout.
const (
	minNodeTimeout = 50 * time.Millisecond
	maxNodeTimeout = time.Second
)

// NodeTimeout returns how long a round waits for a node when the user does not
// say: a tenth of ttl, at least 50 ms and at most 1 s.
func NodeTimeout(ttl time.Duration) time.Duration {
	return min(max(ttl/10, minNodeTimeout), maxNodeTimeout)
}

// Delay returns the pause before a retry: delay − jitter + u·2·jitter, which is
// uniform in [delay−jitter, delay+jitter) for u uniform in [0, 1), and never
// below 0.
func Delay(delay, jitter time.Duration, u float64) time.Duration {
	d := float64(delay) + (2*u-1)*float64(jitter)
	if !(d > 0) {
		return 0
	}
	return saturate(d, 0)
}

// Patience returns how long a call with so many retries waits: retries × delay.
func Patience(retries int, delay time.Duration) time.Duration {
	if retries > 0 && delay > math.MaxInt64/time.Duration(retries) {
		return math.MaxInt64
	}
	return time.Duration(max(retries, 0)) * max(delay, 0)
}

// RetryPause returns the pause before the next of some retries of a call that has left
// to wait. The last one is at the end of left; the others are spread by jitter, as Delay
// does, around the pause with which they come out even.
func RetryPause(left time.Duration, retries int, jitter time.Duration, u float64) time.Duration {
	switch {
	case left <= 0:
		return 0
	case retries <= 1:
		return left
	}
	mean := left / time.Duration(retries)
	return min(Delay(mean, min(max(jitter, 0), mean), u), left)
}

// Bounds of SplitPause: a round trip on a local network, and the width of the
// window that separates a handful of contenders over a slow one.
const (
	minSplitUnit = time.Millisecond
	maxSplitUnit = 50 * time.Millisecond
	maxSplitWait = 200 * time.Millisecond

	maxSplitDoublings = 7
)

// SplitPause returns the pause after the votes split for the n-th time in a
// row, counted from 0. It is uniform in a window of the order of roundTrip
// which doubles each time, so that contenders that collided come apart.
func SplitPause(roundTrip time.Duration, n int, u float64) time.Duration {
	unit := min(max(roundTrip, minSplitUnit), maxSplitUnit)
	window := min(unit<<(min(max(n, 0), maxSplitDoublings)+1), maxSplitWait)
	return time.Duration(u * float64(window))
}

// saturate converts d to a duration and adds more, staying within the range
// of a duration.
func saturate(d float64, more time.Duration) time.Duration {
	if d >= float64(math.MaxInt64-int64(more)) {
		return math.MaxInt64
	}
	return time.Duration(d) + more
}
