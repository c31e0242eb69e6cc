package simulation_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var mutate = flag.String("mutants", "", "run the histories against these mutants of the library, a regular expression of their names")

// A mutant is the library with a mistake in it.
type mutant struct {
	name  string
	edits []edit
}

// An edit replaces a snippet that stands once in a file of the library.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"drift and elapsed time ignored", []edit{
		{"internal/lease/hold.go", "h.lease, h.since = lease{start: start, ttl: ttl, drift: drift}, start.Moment()", "h.lease, h.since = lease{start: h.now(), ttl: ttl}, start.Moment()"},
	}},
	{"release without comparing the value", []edit{
		{"internal/script/release.lua", "if redis.call(\"GET\", KEYS[1]) == ARGV[1] then", "if redis.call(\"GET\", KEYS[1]) then"},
		{"internal/script/release.lua", "elseif value == ARGV[1] then", "elseif value then"},
	}},
	{"a re-armed node counted as held", []edit{
		{"internal/round/extend.go", "		b.grant.overdue(b.began)\n		b.grant.refresh(ctx, i)", "		b.grant.mu.Lock()\n		b.grant.ledger.Granted(i, -1)\n		b.grant.mu.Unlock()"},
	}},
	{"arming inside the extend script", []edit{
		{"internal/script/extend.lua", "if missing then return -1 end", "if missing then for i = 1, resources do redis.call(\"SET\", KEYS[i], ARGV[1], \"PX\", ARGV[2]) end end"},
	}},
	{"an extend that may shorten", []edit{
		{"internal/script/extend.lua", "if left >= 0 and left < tonumber(ARGV[2]) then", "if left >= 0 then"},
	}},
	{"lanes not in order", []edit{
		{"internal/lane/lane.go", "	case p.behind > 0:\n		p.state, p.queued = waiting, true", "	case p.behind > 0:\n		p.run(now)"},
		{"internal/lane/place.go", "		case next == nil:", "		case next == nil || true:"},
	}},
	{"decision at half instead of a majority", []edit{
		{"internal/quorum/quorum.go", "return nodes/2 + 1", "return (nodes + 1) / 2"},
	}},
	{"tokens without the clock", []edit{
		{"internal/acquire/fence.go", "Proposal: min(max(r.calls.Clock.Wall().UnixMicro(), 0), maxToken)", "Proposal: 0 * r.calls.Clock.Wall().UnixMicro()"},
	}},
	{"tokens that are not written back", []edit{
		{"internal/round/fence.go", "c.there >= a.nodes.Quorum() {", "c.there >= 1 {"},
	}},
	{"counters that are not renewed", []edit{
		{"internal/script/fence.lua", "elseif left > most then", "elseif left > 0 then"},
		{"internal/script/fence.lua", "if left ~= -1 and left < most then", "if false then"},
	}},
	{"counters that stay for ever", []edit{
		{"internal/script/fence.lua", "if left == -1 or most == 0 then", "if true then"},
	}},
	{"counters that go by the proposal alone", []edit{
		{"internal/script/fence.lua", "if asked > step then n = asked else n, text = step, nil end", "n = asked"},
	}},
	{"no automatic extension", []edit{
		{"internal/lease/due.go", "return h.Config.Limit != 0 &&", "return false &&"},
	}},
	{"contexts that end after the release", []edit{
		{"internal/lease/hold.go", "	h.endContexts()\n	if h.turn", "	defer func() { h.mu.Lock(); defer h.mu.Unlock(); h.endContexts() }()\n	if h.turn"},
	}},
	{"a second Unlock that does not wait for contexts to end", []edit{
		{"internal/lease/hold.go", "	h.endContexts()\n	if h.turn", "	h.mu.Unlock()\n	runtime.Gosched()\n	h.mu.Lock()\n	h.endContexts()\n	if h.turn"},
		{"internal/lease/hold.go", "	\"slices\"\n", "	\"runtime\"\n	\"slices\"\n"},
	}},
	{"an end that calls the parents of contexts", []edit{
		{"internal/lease/contexts.go", "		return p.canceler\n", "		return p.Context.Value(key)\n"},
	}},
	{"a goroutine left behind by Unlock", []edit{
		{"internal/lease/release.go", "	release := func() {", "	go func() { <-make(chan int) }()\n	release := func() {"},
	}},
	{"a line that lets the last one go", []edit{
		{"internal/script/release_gate.lua", "local heads = hint(redis.pcall(\"ZRANGE\", KEYS[2], 0, (tonumber(most) or 1) - 1)) or {}", "local heads = hint(redis.pcall(\"ZREVRANGE\", KEYS[2], 0, (tonumber(most) or 1) - 1)) or {}"},
		{"internal/script/release_gate.lua", "redis.pcall(\"ZREMRANGEBYRANK\", KEYS[2], 0, chosen and dead or dead - 1)", "redis.pcall(\"ZREMRANGEBYRANK\", KEYS[2], chosen and -dead - 1 or -dead, -1)"},
	}},
	{"an undone attempt that goes back to the end of the line", []edit{
		{"internal/script/release_gate.lua", "local came = tonumber(ARGV[4])", "local came = nil"},
	}},
	{"a release that tells nobody", []edit{
		{"internal/script/call.lua", "local heard = redis.pcall(\"PUBLISH\", \"redlock:\" .. locker, resource)", "local heard = 1"},
	}},
	{"one that leaves the line and keeps what is reserved for it", []edit{
		{"internal/script/release_gate.lua", "    redis.pcall(\"DEL\", KEYS[3])\n    if not value", "    if not value"},
	}},
	{"a native release that compares nothing", []edit{
		{"internal/node/native.go", "return append(room, delex, key, \"ifeq\", value)", "return append(room, delex, key)"},
	}},
	{"a native acquire that takes a refusal for a grant", []edit{
		{"internal/client/process.go", "case set:", "case set || c.BoolCmd.Val() == set:"},
	}},
	{"an acquire without scripts that takes a refusal for a grant", []edit{
		{"internal/node/noscripts.go", "case has == c.value():", "case has != \"\":"},
	}},
	{"an extension without scripts that takes gone for extended", []edit{
		{"internal/node/noscripts.go", "		return client.Answer{Reply: int64(-1)}\n	case a.Err != nil || !is:", "		return client.Answer{Reply: int64(1)}\n	case a.Err != nil || !is:"},
	}},
	{"a node that votes at once after a restart", []edit{
		{"internal/script/quarantine.lua", "if (tonumber(known) or 0) < tonumber(least) or left < 0 or left > 50 then", "if false then"},
	}},
	{"places in line by the clock of the gate alone", []edit{
		{"internal/script/acquire_gate.lua", "math.max(now[1] * 1000000 + now[2], (tonumber(last[2]) or 0) + 1))", "now[1] * 1000000 + now[2])"},
	}},
	{"a release that is not tried again after what the node has answered", []edit{
		{"internal/node/settle.go", "	return err == nil || strings.Contains", "	return err == nil || client.IsReply(err) || strings.Contains"},
	}},
	{"an attempt that is not undone where a context panics", []edit{
		{"internal/round/undo.go", "if *returned != nil {", "if *returned != nil || g != nil {"},
	}},
	{"a release that counts before an acquire that was given up", []edit{
		{"internal/ledger/release.go", "n.acquires > 0 || passed || n.back && late", "false"},
	}},
	{"an attempt that was cut off told as any other", []edit{
		{"internal/acquire/outlook.go", "	case !cut:", "	case !cut || res.Outcome != quorum.Undecided:"},
		{"internal/acquire/outlook.go", "r.left() < min(s.Took, r.wait.MaxWait/4)", "false"},
	}},
	{"who has seen nothing told that another one has the lock", []edit{
		{"internal/acquire/outlook.go", "return r.fail(nil, fault.NoQuorum) // nobody has seen an answer", "return r.fail(nil, fault.Contended)"},
	}},
	{"an Unlock that goes by its release alone", []edit{
		{"internal/lease/release.go", "res.Outcome == quorum.Released && (tooLate || h.foundGone()):", "res.Outcome == quorum.Released && tooLate:"},
	}},
	{"an Unlock that joins what an extension has cleared", []edit{
		{"internal/lease/extend.go", "		h.cleared = h.cleared || detail == expired\n", "		h.cleared = h.cleared || detail == \"\"\n"},
	}},
	{"a context that goes by a timer alone", []edit{
		{"internal/lease/contexts.go", "if over := c.hold.Ended(); over != nil {", "if over := c.hold.Ended(); over != nil && c.outer != nil {"},
	}},
	{"a wall clock that lets locks last when it is set back", []edit{
		{"internal/clock/clock.go", "	case ahead < last-int64(apart):\n", "	case ahead < last-int64(apart):\n		c.added.Add(ahead - last)\n"},
	}},
	{"an Unlock that is never too late", []edit{
		{"internal/lease/release.go", "		f.Detail = h.lossDetail()\n		return res, f", "		f.Detail = h.lossDetail()\n		return res, nil"},
	}},
	{"an Unlock that takes no answer for a loss", []edit{
		{"internal/lease/release.go", "h.failed(fault.Unlock, 1, res, nil, fault.NoQuorum)", "h.failed(fault.Unlock, 1, res, nil, fault.LockLost)"},
	}},
	{"an Unlock that counts what is not there as removed", []edit{
		{"internal/node/vote.go", "		v.Kind = NotOurs\n", "		v.Kind = Removed\n"},
	}},
	{"an Extend that takes no answer for a loss", []edit{
		{"internal/lease/extend.go", "rounds > h.Config.Retries:\n		return h.failed(fault.Extend, rounds, res, nil, fault.NoQuorum)", "rounds > h.Config.Retries:\n		return h.failed(fault.Extend, rounds, res, nil, fault.LockLost)"},
	}},
	{"an extension that asks for too little", []edit{
		{"internal/round/extend.go", "alike(g.commands.Extend(ttl))", "alike(g.commands.Extend(ttl / 2))"},
	}},
	{"a With that keeps the end of its lock to itself", []edit{
		{"with.go", "			err, result = r.during(ctx, over, err), lease.ResultLost", "			result = lease.ResultLost"},
	}},
	{"a With that tells of each release", []edit{
		{"with.go", "onUnlockErr != nil && isNews(unlockErr, valid) {", "onUnlockErr != nil && isNews(unlockErr, valid || true) {"},
	}},
	{"callers of a process that push in", []edit{
		{"internal/waitqueue/queue.go", "	return p.queue.mayGo(p)\n", "	return len(p.queue.holds) == 0\n"},
	}},
}

// mutantSeeds is how many histories a mutant may survive.
const mutantSeeds = "2000"

func TestEveryMutantIsFound(t *testing.T) {
	if *mutate == "" {
		t.Skip("takes minutes; run it with make mutants")
	}
	wanted, err := regexp.Compile(*mutate)
	require.NoError(t, err)
	for _, m := range mutants {
		if wanted.MatchString(m.name) {
			t.Run(m.name, m.run)
		}
	}
}

// A mutant whose snippet has changed, or that does not compile, is none any more; make
// mutants runs too seldom to tell.
func TestTheSnippetsOfMutantsStandInTheLibraryAndCompile(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	files := token.NewFileSet()
	compiled := importer.ForCompiler(files, "gc", exports(t, root))
	for _, m := range mutants {
		var list struct{ Replace map[string]string }
		text, err := os.ReadFile(m.overlay(t, root, t.TempDir()))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &list))
		for path := range list.Replace {
			if filepath.Ext(path) != ".go" {
				continue
			}
			var syntax []*ast.File
			pkg, err := build.ImportDir(filepath.Dir(path), 0)
			require.NoError(t, err)
			for _, name := range pkg.GoFiles {
				name = filepath.Join(pkg.Dir, name)
				f, err := parser.ParseFile(files, cmp.Or(list.Replace[name], name), nil, parser.SkipObjectResolution)
				require.NoError(t, err, m.name)
				syntax = append(syntax, f)
			}
			_, err = (&types.Config{Importer: compiled}).Check(pkg.Name, files, syntax, nil)
			require.NoError(t, err, m.name)
		}
	}
}

// exports returns what tells what the packages of the library, and those they import, export.
func exports(t *testing.T, root string) func(path string) (io.ReadCloser, error) {
	t.Helper()
	out, err := execute(t, root, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	require.NoErrorf(t, err, "%s", out)
	at := make(map[string]string)
	for line := range strings.Lines(out) {
		if path, file, found := strings.Cut(strings.TrimSpace(line), " "); found {
			at[path] = file
		}
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }
}

// run builds this package's test with the mutant in place of the library,
// demands that it fails, and sees if the seed fails again.
func (m *mutant) run(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	binary := filepath.Join(dir, "simulation.test")
	out, err := execute(t, root, "go", "test", "-c", "-overlay", m.overlay(t, root, dir), "-o", binary, "./test/simulation")
	require.NoErrorf(t, err, "%s", out)

	begin := time.Now()
	out, err = execute(t, root, binary, "-test.run", "^TestHistories$", "-seeds", mutantSeeds, "-violated", "1")
	require.Errorf(t, err, "it survived %s histories", mutantSeeds)
	took := time.Since(begin).Round(time.Second)
	seed, checkers, text := violations(out)
	require.NotEmptyf(t, seed, "%s", out)
	again := 0
	for range replays {
		out, _ = execute(t, root, binary, "-test.run", "^TestHistories$", "-seed", seed)
		if _, same, _ := violations(out); slices.ContainsFunc(same, func(c string) bool { return slices.Contains(checkers, c) }) {
			again++
		}
	}
	t.Logf("found by seed %s, after %v, by %v: %s; again %d of %d times", seed, took, checkers, text, again, replays)
}

// replays is how often a seed that found a mutant is run again.
const replays = 10

var (
	seedLine      = regexp.MustCompile(`seed (\d+), profile`)
	violationLine = regexp.MustCompile(found + `\((\w+)\) (.*)`)
)

// violations returns the first seed that TestHistories has printed, which
// checkers found something in it, and what the first one did.
func violations(out string) (seed string, checkers []string, text string) {
	lines, s := violationLine.FindAllStringSubmatch(out, -1), seedLine.FindStringSubmatch(out)
	if lines == nil || s == nil {
		return "", nil, ""
	}
	for _, line := range lines {
		checkers = append(checkers, line[1])
	}
	slices.Sort(checkers)
	return s[1], slices.Compact(checkers), lines[0][2]
}

func execute(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...) //nolint:gosec // go, and what it has built
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// overlay writes the files that are different, and which they replace.
func (m *mutant) overlay(t *testing.T, root, dir string) string {
	t.Helper()
	replace := make(map[string]string)
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		from := path
		if edited, ok := replace[path]; ok {
			from = edited
		}
		source, err := os.ReadFile(from) //nolint:gosec // one of the list above, or its copy
		require.NoError(t, err)
		require.Equalf(t, 1, strings.Count(string(source), e.old), "%s does not have this snippet, once: %s", e.file, e.old)
		replace[path] = filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		changed := strings.Replace(string(source), e.old, e.new, 1)
		require.NoError(t, os.WriteFile(replace[path], []byte(changed), 0o600)) //nolint:gosec // in the test's own directory
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, list, 0o600))
	return path
}
