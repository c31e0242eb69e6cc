// Package script holds the Lua scripts that run on the nodes. Each takes one
// or several keys, decides and acts in one step, and never answers 0 or nil,
// so that a reply nobody set cannot be taken for a result.
package script

import (
	"crypto/fips140"
	"crypto/sha1" //nolint:gosec // see Hash
	"embed"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.lua
var files embed.FS

// The scripts. The first line of each file says its keys, arguments and result.
var (
	Acquire = load(read("acquire.lua"), 1)
	Extend  = load(read("extend.lua"), 1)
	Release = load(read("release.lua"), 1)

	// AcquireGate and ReleaseGate are for the node that keeps the line of a resource.
	AcquireGate = load(read("acquire_gate.lua"), 0)
	ReleaseGate = load(read("release_gate.lua"), 0)

	// AcquireGates and ReleaseGates are for a lock on several resources, on a node that
	// keeps the lines of some of them.
	AcquireGates = load(read("acquire_gates.lua"), 0)
	ReleaseGates = load(read("release_gates.lua"), 0)

	// AcquireFenced, AcquireGateFenced, AcquireGatesFenced and ExtendFenced are for locks
	// with a fencing token. These are released as others: the counters stay.
	AcquireFenced      = load(read("acquire_fenced.lua"), 2)
	AcquireGateFenced  = load(literal(read("fence.lua")+read("acquire_gate.lua"), 4), 0)
	AcquireGatesFenced = load(read("fence.lua")+read("acquire_gates.lua"), 0)
	ExtendFenced       = load(read("extend_fenced.lua"), 2)
)

// quarantined are the scripts that acquire, each behind a look at how long the server is up.
var quarantined = func() map[*Script]*Script {
	all := make(map[*Script]*Script)
	for _, s := range []*Script{Acquire, AcquireGate, AcquireGates, AcquireFenced, AcquireGateFenced, AcquireGatesFenced} {
		all[s] = s.behind(read("quarantine.lua"))
	}
	return all
}()

// Up is a key of its own that a quarantine keeps.
const Up = "redlock:up"

// NoUptime is in the error of a server of which the quarantine cannot tell for how long it is up.
const NoUptime = "does not tell for how long it is up"

// upKey is Up, converted once.
var upKey any = Up

// Quarantine returns the script that does what s does, which acquires, on a server that was
// started so many ms ago at least, and its arguments. Elsewhere it fails with QUARANTINE, and has
// changed nothing. It returns nil for a script that does not acquire.
func (s *Script) Quarantine(args []any, ms any) (*Script, []any) {
	q, n := quarantined[s], 3+args[2].(int)
	if q == nil {
		return nil, nil
	}
	keys := append(slices.Clone(args[3:n]), upKey)
	return q, append(q.Args(keys, args[n:]...), ms)
}

// A Script is a Lua script for any number of keys, and the same for those of one resource.
type Script struct {
	some, one version
	keys      int // of one resource; 0 if there is nothing for it
}

// A version is the text of a script and the name under which a node caches it. Both are
// kept as interface values because that is what a command takes: converting
// them anew for each command would cost an allocation each.
type version struct {
	source any
	sha    any
	index  int
}

// Count is how many versions there are.
const Count = 24

var loaded int

// load makes a script of a text, and another version of it where one resource has so many
// keys. If these are not 0, the last one is the counter of tokens, if there is one.
func load(source string, keys int) *Script {
	s := &Script{some: newVersion(source), keys: keys}
	if keys > 0 {
		s.one = newVersion(literal(source, keys))
	}
	return s
}

// behind returns the script with a text before it, which has a key more.
func (s *Script) behind(text string) *Script {
	b := &Script{some: newVersion(text + s.some.source.(string))}
	if s.keys > 0 {
		b.one, b.keys = newVersion(text+s.one.source.(string)), s.keys+1
	}
	return b
}

func newVersion(source string) version {
	loaded++
	return version{source: source, sha: Hash(source), index: loaded - 1}
}

// literal names the keys of one resource by their numbers: some clusters refuse a script
// that reaches its keys by other expressions.
func literal(source string, keys int) string {
	return strings.NewReplacer(
		"#KEYS / 2", "1", "#KEYS", "1", "KEYS[i]", "KEYS[1]", "KEYS[j]", "KEYS["+strconv.Itoa(keys)+"]",
	).Replace(source)
}

var include = regexp.MustCompile(`(?m)^-- include (\w+\.lua)\n`)

// read returns the text of a file, with what it includes.
func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // a typing error above
	}
	return include.ReplaceAllStringFunc(string(text), func(line string) string {
		return read(include.FindStringSubmatch(line)[1])
	})
}

// Index tells versions apart, by the arguments of an EVALSHA command. It is below Count.
func (s *Script) Index(evalsha []any) int { return s.version(evalsha[2].(int)).index }

// version returns the one for so many keys.
func (s *Script) version(keys int) *version {
	if keys == s.keys && keys > 0 {
		return &s.one
	}
	return &s.some
}

// Hash returns the SHA-1 of text in hexadecimal. Redis names scripts by it, and the
// scripts name values by its beginning.
//
// It names and protects nothing, so FIPS 140-3 has no say in it. A program that runs
// with GODEBUG=fips140=only would otherwise panic before its main begins.
func Hash(text string) string {
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum([]byte(text)) }) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// Args returns the arguments of an EVALSHA command: keys, then args.
func (s *Script) Args(keys []any, args ...any) []any {
	return s.Append(make([]any, 0, 3+len(keys)+len(args)), keys, args...)
}

// Append is Args, appended to all.
func (s *Script) Append(all, keys []any, args ...any) []any {
	all = append(all, "evalsha", s.version(len(keys)).sha, len(keys))
	all = append(all, keys...)
	return append(all, args...)
}

// Keys returns the keys of an EVALSHA or EVAL command.
func Keys(args []any) []any { return args[3 : 3+args[2].(int)] }

// Key returns the first key of such a command, or of a native one.
func Key(args []any) any {
	if args[0] == "evalsha" || args[0] == "eval" {
		return args[3]
	}
	return args[1]
}

// First returns the first argument that is no key of an EVALSHA or EVAL command.
func First(args []any) any { return args[3+args[2].(int)] }

// Second returns the next one.
func Second(args []any) any { return args[4+args[2].(int)] }

// Eval returns the arguments of the EVAL command that does the same as the
// EVALSHA command with these arguments, for a node that does not know the
// script yet.
func (s *Script) Eval(evalsha []any) []any {
	all := make([]any, 0, len(evalsha))
	all = append(all, "eval", s.version(evalsha[2].(int)).source)
	return append(all, evalsha[2:]...)
}

// Each calls f with the name and the source of each version.
func (s *Script) Each(f func(sha, source string)) {
	f(s.some.sha.(string), s.some.source.(string))
	if s.keys > 0 {
		f(s.one.sha.(string), s.one.source.(string))
	}
}
