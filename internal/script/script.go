// Package script holds the Lua scripts that run on the nodes. Each takes one
// or several keys, decides and acts in one step, and never answers 0 or nil,
// so that a reply nobody set cannot be taken for a result.
package script

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1; nothing secret depends on it.
	_ "embed"
	"encoding/hex"
)

//go:embed acquire.lua
var acquireSource string

//go:embed extend.lua
var extendSource string

//go:embed release.lua
var releaseSource string

//go:embed acquire_gate.lua
var acquireGateSource string

//go:embed release_gate.lua
var releaseGateSource string

//go:embed acquire_gates.lua
var acquireGatesSource string

//go:embed release_gates.lua
var releaseGatesSource string

//go:embed fence.lua
var fenceSource string

//go:embed acquire_fenced.lua
var acquireFencedSource string

//go:embed extend_fenced.lua
var extendFencedSource string

// The scripts. The first line of each file says its keys, arguments and result.
var (
	Acquire = load(acquireSource)
	Extend  = load(extendSource)
	Release = load(releaseSource)

	// AcquireGate and ReleaseGate are for the node that keeps the line of a resource.
	AcquireGate = load(acquireGateSource)
	ReleaseGate = load(releaseGateSource)

	// AcquireGates and ReleaseGates are for a lock on several resources, on a node that
	// keeps the lines of some of them.
	AcquireGates = load(acquireGatesSource)
	ReleaseGates = load(releaseGatesSource)

	// AcquireFenced, AcquireGateFenced, AcquireGatesFenced and ExtendFenced are for locks
	// with a fencing token. These are released as others: the counters stay.
	AcquireFenced      = load(fenceSource + acquireFencedSource)
	AcquireGateFenced  = load(fenceSource + acquireGateSource)
	AcquireGatesFenced = load(fenceSource + acquireGatesSource)
	ExtendFenced       = load(fenceSource + extendFencedSource)
)

// A Script is a Lua script and the name under which a node caches it. Both are
// kept as interface values because that is what a command takes: converting
// them anew for each command would cost an allocation each.
type Script struct {
	source any
	sha    any
}

func load(source string) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // as above
	return &Script{source: source, sha: hex.EncodeToString(sum[:])}
}

// Args returns the arguments of an EVALSHA command: keys, then args.
func (s *Script) Args(keys []any, args ...any) []any {
	return s.Append(make([]any, 0, 3+len(keys)+len(args)), keys, args...)
}

// Append is Args, appended to all.
func (s *Script) Append(all, keys []any, args ...any) []any {
	all = append(all, "evalsha", s.sha, len(keys))
	all = append(all, keys...)
	return append(all, args...)
}

// Keys returns the keys of an EVALSHA or EVAL command.
func Keys(args []any) []any { return args[3 : 3+args[2].(int)] }

// First returns the first argument that is no key of an EVALSHA or EVAL command.
func First(args []any) any { return args[3+args[2].(int)] }

// Eval returns the arguments of the EVAL command that does the same as the
// EVALSHA command with these arguments, for a node that does not know the
// script yet.
func (s *Script) Eval(evalsha []any) []any {
	all := make([]any, 0, len(evalsha))
	all = append(all, "eval", s.source)
	return append(all, evalsha[2:]...)
}
