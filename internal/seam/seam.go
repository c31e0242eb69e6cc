// Package seam lets tests outside of the root package see and set what no user
// can. The root package fills it in; where a function takes a locker or a lock,
// it is a *redlock.Locker or a *redlock.Lock, which this package cannot name.
package seam

import "time"

// Version is the version that the instrumentation scope tells.
var Version string

// SetWallJump makes the locker see a wall clock that is ahead of the monotonic one
// by what jump says.
var SetWallJump func(locker any, jump func() time.Duration)

// SetStood makes the monotonic clock of the locker stand still for as long as
// stood says.
var SetStood func(locker any, stood func() time.Duration)

// OpenCalls returns how many node calls of the locker are under way or wait.
var OpenCalls func(locker any) int

// Queues returns how many resources are held or waited for in this process.
var Queues func(locker any) int

// Rests reports whether little is kept of the lock, as nothing is to be sent for
// it.
var Rests func(lock any) bool
