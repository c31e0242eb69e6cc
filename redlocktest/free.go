package redlocktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/value"
)

// settle is how long what is under way to the nodes may take.
const settle = time.Second

// RequireFree fails the test if a resource is locked or a Locker waits for one, and says
// which, where, by whom and for how long. It waits up to a second for releases under way,
// and looks at nodes that are down or frozen, too. It ignores other keys.
func (ns Nodes) RequireFree(tb testing.TB) {
	tb.Helper()
	var left []string
	for end := time.Now().Add(settle); ; time.Sleep(time.Millisecond) {
		left = ns.left()
		if len(left) == 0 {
			return
		}
		if !time.Now().Before(end) {
			break
		}
	}
	tb.Fatalf("redlocktest: not free:\n\t%s", strings.Join(left, "\n\t"))
}

// left tells of each lock and each waiting caller on the nodes, by resource.
func (ns Nodes) left() []string {
	on, now := make(map[string]*trace), time.Now()
	for _, n := range ns {
		for _, key := range n.redis.Keys() {
			for _, what := range n.tell(key, now) {
				if on[what] == nil {
					on[what] = new(trace)
				}
				on[what].nodes++
				on[what].lasts = max(on[what].lasts, n.redis.TTL(key))
			}
		}
	}
	left := make([]string, 0, len(on))
	for what, t := range on {
		left = append(left, fmt.Sprintf("%s, on %d of %d nodes, %v left", what, t.nodes, len(ns), t.lasts.Round(time.Millisecond)))
	}
	slices.Sort(left)
	return left
}

// A trace is what there is of a lock or of a waiting caller on the nodes.
type trace struct {
	nodes int
	lasts time.Duration
}

// tell says whose lock a key is, or who waits there.
func (n *Node) tell(key string, now time.Time) []string {
	if n.redis.Type(key) == "zset" {
		resource, ok := lineOf(key)
		if !ok {
			return nil
		}
		members, _ := n.redis.ZMembers(key)
		waiting := make([]string, len(members))
		for i, id := range members {
			mark, owner := value.ReadID(id)
			waiting[i] = fmt.Sprintf("%q is waited for by %s", resource, named(mark, owner))
		}
		return waiting
	}
	text, err := n.redis.Get(key)
	if err != nil || !value.Made(text) || n.redis.TTL(key) == 0 {
		return nil
	}
	name := value.NameOf(text)
	owner, since, ok := name.Owner()
	by := named(name.Mark, owner)
	if ok {
		by += fmt.Sprintf(" for %v", now.Sub(since).Round(time.Millisecond))
	}
	return []string{fmt.Sprintf("%q is locked by %s", key, by)}
}

// lineOf returns the resource whose line a key is. That of {a} is the one of a.
func lineOf(key string) (resource string, ok bool) {
	tag, ok := strings.CutSuffix(key, ":redlock:line")
	if inner, found := strings.CutPrefix(tag, "{"); found {
		if line, _ := script.Line(strings.TrimSuffix(inner, "}")); line == key {
			return strings.TrimSuffix(inner, "}"), ok
		}
	}
	return tag, ok
}

// named names who holds a lock or waits for one.
func named(mark, owner string) string {
	if owner == "" {
		return "mark " + mark
	}
	return fmt.Sprintf("%q (mark %s)", owner, mark)
}
