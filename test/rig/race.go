//go:build race

package rig

// RaceEnabled reports whether the race detector is on.
const RaceEnabled = true
