package simulation

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/script"
)

// An op is which of the library's scripts a command is.
type op uint8

const (
	other op = iota
	acquire
	extend
	release
	tell // a message of a channel: it only has delays and fates of its own

	ops = int(tell) + 1
)

func (o op) String() string {
	return [...]string{other: "other", acquire: "acquire", extend: "extend", release: "release", tell: "tell"}[o]
}

// A scriptKind is what a script does, and what it deals with beside the resource, or
// several: the line, or the counter of tokens.
type scriptKind struct {
	op                  op
	gate, gates, fenced bool
	kept                bool // behind a look for how long the server is up
}

// scripts finds a script's kind by its name and by its source.
var scripts = func() map[string]scriptKind {
	all := make(map[string]scriptKind)
	for s, k := range map[*script.Script]scriptKind{
		script.Acquire: {op: acquire}, script.Extend: {op: extend}, script.Release: {op: release},
		script.AcquireGate: {op: acquire, gate: true}, script.ReleaseGate: {op: release, gate: true},
		script.AcquireFenced: {op: acquire, fenced: true}, script.ExtendFenced: {op: extend, fenced: true},
		script.AcquireGateFenced: {op: acquire, gate: true, fenced: true},
		script.AcquireGates:      {op: acquire, gates: true}, script.ReleaseGates: {op: release, gates: true},
		script.AcquireGatesFenced: {op: acquire, gates: true, fenced: true},
	} {
		s.Each(func(sha, source string) { all[sha], all[source] = k, k })
		k.kept = true
		if q, _ := s.Quarantine([]any{"", "", 0}, 0); q != nil {
			q.Each(func(sha, source string) { all[sha], all[source] = k, k })
		}
	}
	return all
}()

// newCommand reads what a command is about.
func newCommand(args []string) command {
	c := command{args: args}
	if len(args) < 4 {
		return c
	}
	if len(args) == 6 && args[0] == "set" && args[3] == "nx" {
		ms, _ := strconv.Atoi(args[5])
		c.op, c.keys, c.value, c.ttl = acquire, args[1:2], args[2], time.Duration(ms)*time.Millisecond
		return c
	}
	if len(args) == 7 && args[0] == "set" && args[3] == "ifeq" {
		ms, _ := strconv.Atoi(args[6])
		c.op, c.keys, c.value, c.ttl = extend, args[1:2], args[2], time.Duration(ms)*time.Millisecond
		return c
	}
	if len(args) == 4 && args[0] == "delex" && args[2] == "ifeq" && args[3] != "redlock:try" {
		c.op, c.keys, c.value = release, args[1:2], args[3]
		return c
	}
	kind := scripts[args[1]]
	c.op, c.gate = kind.op, kind.gate
	n, err := strconv.Atoi(args[2])
	if c.op == other || err != nil || len(args) < 4+n {
		return c
	}
	c.keys, c.value = args[3:3+n], args[3+n]
	c.about(kind, n)
	if c.gate {
		c.locker = args[3+n+lockerAt[c.op]]
		c.tellsLine(args[3+n+lockerAt[c.op]+1])
	}
	c.kept = kind.kept
	c.proposes = kind.op == acquire && kind.fenced && (kind.gate || kind.gates || args[5+n] == "1")
	if len(args) > 4+n {
		ms, _ := strconv.Atoi(args[4+n])
		c.ttl = time.Duration(ms) * time.Millisecond
	}
	return c
}

// about leaves of the keys those of the resources: the others are counters and what
// belongs to lines.
func (c *command) about(kind scriptKind, n int) {
	number := func(i int) int {
		i, _ = strconv.Atoi(c.args[3+n+i])
		return i
	}
	switch {
	case kind.gate:
		c.lines = []line{{c.keys[0], c.keys[2]}}
		n = 1
	case kind.gates && kind.op == acquire:
		n = number(3)
	case kind.gates:
		kept := number(1)
		n -= 2 * kept
		for i := range kept {
			c.lines = append(c.lines, line{c.keys[i], c.keys[n+2*i+1]})
		}
	case kind.fenced:
		n /= 2
	case kind.kept:
		n--
	}
	c.keys = c.keys[:n]
}

// A line is one that a command deals with.
type line struct{ resource, reservation string }

// lockerAt is which argument of a script that deals with the line names the Locker.
var lockerAt = map[op]int{acquire: 2, release: 1}

// tellsLine reads what a command says of the line.
func (c *command) tellsLine(arg string) {
	switch c.op {
	case acquire:
		c.comes = arg == "now" || arg == "look now"
	case release:
		c.keeps, c.leaves, c.undoes = strings.HasPrefix(arg, "keep"), strings.HasPrefix(arg, "leave"), strings.HasPrefix(arg, "undo")
	default: // says nothing of it
	}
}

// propose has a command of a process whose wall clock is off propose what it would.
// In the bubble there is one clock, and what the library does with differences of
// its own clock is the same for one that is off.
func (c *command) propose(off time.Duration) {
	if !c.proposes {
		return
	}
	i := len(c.args) - 2 // before how long to keep the counter
	if c.kept {
		i--
	}
	if n, err := strconv.ParseInt(c.args[i], 10, 64); err == nil {
		c.args[i] = strconv.FormatInt(max(n+off.Microseconds(), 0), 10)
	}
}

// A command is one of a request.
type command struct {
	op    op
	kept  bool   // it looks for how long the server is up
	gate  bool   // it deals with the line too
	lines []line // that it deals with; of an acquire for several resources, none
	args  []string
	keys  []string // the resources that it is about, if it is a script of the library
	value string   // of the lock
	ttl   time.Duration

	locker string // by its name in the line; empty unless gate
	comes  bool   // it is to have a new place in the line, unless it has one
	keeps  bool   // it goes back into the line
	undoes bool   // it lets somebody go only if it removes something
	leaves bool   // it leaves the line
	// proposes says that a token is asked for, by the clock.
	proposes bool
}

// parse returns the whole commands in b and what follows them. The client
// sends arrays of bulk strings.
func parse(b []byte) (all []command, rest []byte) {
	for {
		args, after, ok := parseArray(b)
		if !ok {
			return all, b
		}
		all, b = append(all, newCommand(args)), after
	}
}

func parseArray(b []byte) (args []string, rest []byte, ok bool) {
	n, b, ok := parseLength(b, '*')
	if !ok {
		return nil, nil, false
	}
	for range n {
		size, after, ok := parseLength(b, '$')
		if !ok || len(after) < size+2 {
			return nil, nil, false
		}
		args, b = append(args, string(after[:size])), after[size+2:]
	}
	return args, b, true
}

func parseLength(b []byte, kind byte) (n int, rest []byte, ok bool) {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || len(line) < 2 || line[0] != kind {
		return 0, nil, false
	}
	n, err := strconv.Atoi(string(line[1:]))
	return n, rest, err == nil
}
