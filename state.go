package redlock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/finding"
	"github.com/b0401464/redlock/internal/inspect"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/notify"
	"github.com/b0401464/redlock/internal/value"
)

// A Verdict is what follows from what the nodes have told of a resource.
type Verdict string

// Verdicts.
const (
	VerdictHeld    Verdict = "held"    // a majority has one and the same value
	VerdictFree    Verdict = "free"    // no node that answered has any, and the others are no majority
	VerdictSplit   Verdict = "split"   // some nodes have values, and none can have a majority
	VerdictUnknown Verdict = "unknown" // too few answered: what the others have would decide it
)

// A State is what the nodes had of a resource when [Locker.Inspect] read them. It prints as a
// table and marshals to JSON.
type State struct {
	Resource string
	At       time.Time // when the nodes were asked
	Verdict  Verdict
	// Holder is who has the lock, or, where that is unknown, who may have it if that is
	// one only; nobody otherwise. Remaining is how long it has it at most unless it
	// extends the lock: Forever if keys have no expiry.
	Holder    Holder
	Remaining time.Duration
	Token     int64       // the largest of the fencing counters, the last token; 0 if there is none
	Gate      int         // which of the clients given to New keeps the line, from 1; 0 if none does
	Waiting   []Waiter    // who waits in line there, the next one first; the first 1000
	Nodes     []NodeState // in the order of the clients given to New
}

// A NodeState is what one node had of a resource.
type NodeState struct {
	Node      int           // which of the clients given to New, from 1
	Addr      string        // as that of a [NodeError]
	Holder    Holder        // whose value is there; nobody if none is
	Remaining time.Duration // for how long; Forever if the key has no expiry
	Kept      bool          // nobody's is, and the gate keeps the resource for the next one in line
	Token     int64         // what the fencing counter stands at; 0 if there is none
	Waiting   int           // how many stand in a line there: elsewhere than at the gate, those who know other nodes
	Err       error         // a [*NodeError]: why it has not told what is there
	PartErr   error         // a [*NodeError]: why it has told that only, and not the counter or the line
}

// A Waiter is a Locker that waits in line for a resource: of its callers, the first one.
type Waiter struct {
	Mark   string    // names the Locker
	Owner  string    // of the [WithOwner] that its New was given; empty if there was none
	Since  time.Time // when it came, by the clock of the gate; zero once it has been called
	Called bool      // the resource is reserved for it
}

// verdicts are those of package inspect.
var verdicts = map[inspect.Verdict]Verdict{
	inspect.Unknown: VerdictUnknown, inspect.Held: VerdictHeld, inspect.Free: VerdictFree, inspect.Split: VerdictSplit,
}

// stateOf returns what follows from what the nodes have told.
func (l *Locker) stateOf(resource string, at time.Time, sights []inspect.Sight) State {
	v, by, lasts := inspect.Judge(sights)
	s := State{Resource: resource, At: at, Verdict: verdicts[v], Holder: holderOf(by), Remaining: remaining(lasts)}
	for i := range sights {
		s.Nodes = append(s.Nodes, l.nodeState(&sights[i]))
		s.Token = max(s.Token, sights[i].Token)
	}
	gate := l.locks.Nodes.Gate(resource)
	if gate == notify.NoGate { // this Locker knows of none, but others may
		gate = slices.IndexFunc(sights, func(s inspect.Sight) bool { return len(s.Line) > 0 })
	}
	if gate >= 0 {
		s.Gate, s.Waiting = gate+1, waiters(sights[gate].Line)
	}
	return s
}

// nodeState returns what one node has told.
func (l *Locker) nodeState(s *inspect.Sight) NodeState {
	n := NodeState{Node: s.Node + 1, Addr: l.addrs[s.Node], Kept: s.Kept, Token: s.Token, Waiting: len(s.Line)}
	failure := node.Failure{Node: s.Node, Op: node.OpInspect}
	if s.There {
		n.Holder, n.Remaining = holderOf(value.NameOf(s.Value)), remaining(s.Left)
	}
	if failure.Err = s.Err; s.Err != nil {
		n.Err = l.nodeError(failure)
	}
	if failure.Err = s.Part; s.Part != nil {
		n.PartErr = l.nodeError(failure)
	}
	return n
}

// remaining returns what is left of a key, of which a negative number says that it has no expiry.
func remaining(left time.Duration) time.Duration {
	if left < 0 {
		return Forever
	}
	return left
}

func waiters(line []inspect.Waiting) []Waiter {
	var all []Waiter
	for _, w := range line {
		mark, owner := value.ReadID(w.ID)
		all = append(all, Waiter{Mark: mark, Owner: owner, Since: w.Since, Called: w.Called})
	}
	return all
}

// String returns a line that says what follows from what the nodes have told, a table of that,
// and one of the line if somebody waits.
func (s State) String() string {
	text := fault.Quote(s.Resource) + ": " + s.summary()
	if s.Token > 0 {
		text += fmt.Sprintf(", token %d", s.Token)
	}
	if len(s.Waiting) > 0 {
		text += fmt.Sprintf(", %d in line at node %d", len(s.Waiting), s.Gate)
	}
	lines := []string{text}
	if len(s.Nodes) > 0 {
		rows := [][]string{{"NODE", "ADDRESS", "HOLDER", "SINCE", "LEFT", "MARK", "NOTE"}}
		for i := range s.Nodes {
			rows = append(rows, s.Nodes[i].row(s.At))
		}
		lines = append(lines, finding.Columns(rows)...)
	}
	if len(s.Waiting) > 0 {
		rows := [][]string{{"LINE", "WAITS", "SINCE", "MARK", "NOTE"}}
		for i, w := range s.Waiting {
			rows = append(rows, w.row(i+1, s.At))
		}
		lines = append(lines, finding.Columns(rows)...)
	}
	return strings.Join(lines, "\n")
}

func (s State) summary() string {
	switch s.Verdict {
	case VerdictHeld:
		return "held by " + s.Holder.named(s.At) + s.lasts()
	case VerdictFree:
		for i := range s.Nodes {
			if s.Nodes[i].Kept {
				return "free, and kept for the next one in line"
			}
		}
		return "free"
	case VerdictSplit:
		return "nobody has a majority"
	default:
		return s.doubts()
	}
}

// doubts is the summary of a state that is unknown.
func (s State) doubts() string {
	away := 0
	for i := range s.Nodes {
		if s.Nodes[i].Err != nil {
			away++
		}
	}
	text := fmt.Sprintf("unknown, %d of %d nodes did not tell", away, len(s.Nodes))
	if s.Holder.Mark != "" {
		text += ", perhaps held by " + s.Holder.named(s.At) + s.lasts()
	}
	return text
}

func (s State) lasts() string {
	if s.Remaining == Forever {
		return ", never free by itself as its key has no expiry"
	}
	return fmt.Sprintf(", free in %v at the latest unless extended", rough(s.Remaining))
}

// named returns what names a holder that is somebody, at a moment.
func (h Holder) named(now time.Time) string {
	if h.Owner == "" {
		return "an unnamed holder, " + h.text(0)
	}
	return h.text(h.age(now))
}

func (n *NodeState) row(now time.Time) []string {
	row := []string{strconv.Itoa(n.Node), n.Addr, "nobody", "", "", n.Holder.Mark, ""}
	if n.Holder.Mark != "" {
		row[2], row[4] = cmp.Or(n.Holder.Owner, "unnamed"), "for ever"
		if !n.Holder.Since.IsZero() {
			row[3] = rough(n.Holder.age(now)).String()
		}
		if n.Remaining != Forever {
			row[4] = rough(n.Remaining).String()
		}
	}
	switch {
	case n.Err != nil:
		row[2], row[6] = "?", errText(n.Err)
	case n.PartErr != nil:
		row[6] = "has not told all: " + errText(n.PartErr)
	case n.Kept:
		row[6] = "kept for the next one in line"
	}
	return row
}

func (w Waiter) row(number int, now time.Time) []string {
	row := []string{strconv.Itoa(number), cmp.Or(w.Owner, "unnamed"), "", w.Mark, ""}
	if !w.Since.IsZero() {
		row[2] = rough(max(now.Sub(w.Since), 0)).String()
	}
	if w.Called {
		row[4] = "called"
	}
	return row
}

// errText returns what a node's error says, without which node that is.
func errText(err error) string {
	if n, ok := err.(*NodeError); ok && n.Err != nil { //nolint:errorlint // it is one, unless a program has made the State
		err = n.Err
	}
	return fault.OneLine(fault.Shorten(err.Error()))
}

// MarshalJSON returns an object whose names are in snake case. Times are in RFC 3339, durations
// in seconds, −1 for one without an end, and errors are their texts.
func (s State) MarshalJSON() ([]byte, error) {
	out := stateJSON{
		Resource: s.Resource, At: s.At, Verdict: s.Verdict, Holder: s.Holder.json(s.Remaining),
		Token: s.Token, Gate: s.Gate, Waiting: []waiterJSON{}, Nodes: []nodeJSON{},
	}
	for _, w := range s.Waiting {
		out.Waiting = append(out.Waiting, waiterJSON(w))
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		node := nodeJSON{
			Node: n.Node, Addr: n.Addr, Holder: n.Holder.json(n.Remaining), Kept: n.Kept, Token: n.Token, Waiting: n.Waiting,
		}
		if n.Err != nil {
			node.Error = errText(n.Err)
		}
		if n.PartErr != nil {
			node.PartError = errText(n.PartErr)
		}
		out.Nodes = append(out.Nodes, node)
	}
	return json.Marshal(out)
}

type stateJSON struct {
	Resource string       `json:"resource"`
	At       time.Time    `json:"at"`
	Verdict  Verdict      `json:"verdict"`
	Holder   *holderJSON  `json:"holder"`
	Token    int64        `json:"token"`
	Gate     int          `json:"gate"`
	Waiting  []waiterJSON `json:"waiting"`
	Nodes    []nodeJSON   `json:"nodes"`
}

type nodeJSON struct {
	Node      int         `json:"node"`
	Addr      string      `json:"addr"`
	Holder    *holderJSON `json:"holder"`
	Kept      bool        `json:"kept"`
	Token     int64       `json:"token"`
	Waiting   int         `json:"waiting"`
	Error     string      `json:"error,omitempty"`
	PartError string      `json:"part_error,omitempty"`
}

type holderJSON struct {
	Mark      string    `json:"mark"`
	Owner     string    `json:"owner,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Remaining float64   `json:"remaining_seconds"`
}

type waiterJSON struct {
	Mark   string    `json:"mark"`
	Owner  string    `json:"owner,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Called bool      `json:"called"`
}

// json returns the holder as an object, nil for nobody.
func (h Holder) json(lasts time.Duration) *holderJSON {
	if h.Mark == "" {
		return nil
	}
	seconds := lasts.Seconds()
	if lasts == Forever {
		seconds = -1
	}
	return &holderJSON{Mark: h.Mark, Owner: h.Owner, Since: h.Since, Remaining: seconds}
}
