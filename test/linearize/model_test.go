package linearize

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Moments of histories by hand are in milliseconds from the beginning.
func ms(n int) int64 { return int64(time.Hour + time.Duration(n)*time.Millisecond) }

// lock returns the events of a lock that was asked for and granted then.
func lock(id string, asked, granted, until int, more ...Event) []Event {
	return locked(id, 0, asked, granted, until, more...)
}

// locked is lock with a token.
func locked(id string, token int64, asked, granted, until int, more ...Event) []Event {
	all := []Event{
		{T: ms(asked), What: Asked, ID: id, Call: "Lock", Resource: "r", TTL: int64(100 * time.Millisecond)},
		{T: ms(granted), What: Granted, ID: id, Until: ms(until), Token: token, Mark: "mark of " + id},
	}
	for _, e := range more {
		e.ID = id
		all = append(all, e)
	}
	return all
}

func unlock(at int) Event { return Event{T: ms(at), What: Unlock} }

func unlocked(at int, r Result) Event { return Event{T: ms(at), What: Unlocked, Result: r} }

func extend(at int) Event { return Event{T: ms(at), What: Extend} }

func extended(at int, r Result, until int) Event {
	return Event{T: ms(at), What: Extended, Result: r, Until: ms(until)}
}

func looked(from, to int, r Result, until int) Event {
	return Event{From: ms(from), T: ms(to), What: Looked, Result: r, Until: ms(until)}
}

func inspected(from, to int, verdict, by string, token int64) []Event {
	id := fmt.Sprint("inspect ", from)
	return []Event{
		{T: ms(from), What: Inspect, ID: id, Resource: "r"},
		{T: ms(to), What: Inspected, ID: id, Result: OK, Verdict: verdict, By: by, ByMark: "mark of " + by, Token: token, Told: 3},
	}
}

// attempted has an Inspect name another attempt of the call than the one that was granted.
func attempted(inspect []Event) []Event {
	inspect[1].ByMark = "mark of an attempt"
	return inspect
}

// broken is a Break of the lock a.
func broken(from, to int, r Result) []Event {
	id := fmt.Sprint("break ", from)
	return []Event{
		{T: ms(from), What: Break, ID: id, Resource: "r", Mark: "mark of a"},
		{T: ms(to), What: Broken, ID: id, Result: r},
	}
}

func refused(id string, from, to int, by string) []Event {
	return []Event{
		{T: ms(from), What: Asked, ID: id, Call: "TryLock", Resource: "r"},
		{T: ms(to), What: Failed, ID: id, Result: Contended, By: by},
	}
}

// byHand are histories on three nodes, and the models that refuse them.
var byHand = []struct {
	name    string
	parts   [][]Event
	refused []string
}{
	{"one after the other", [][]Event{
		lock("a", 0, 5, 100, unlock(50), unlocked(55, OK)),
		lock("b", 10, 53, 150, unlock(60), unlocked(65, OK)),
	}, nil},
	{"one that was left to run out", [][]Event{
		lock("a", 0, 5, 100),
		lock("b", 10, 101, 200, unlock(110), unlocked(120, OK)),
	}, nil},
	{"one that was still asked about when it had run out, and nobody had come", [][]Event{
		lock("a", 0, 5, 100, unlock(150), unlocked(155, OK)),
		lock("b", 10, 160, 250, unlock(170), unlocked(175, OK)),
	}, nil},
	{"one that was granted when its time was over", [][]Event{
		lock("a", 0, 150, 100, looked(151, 152, RanOut, 100), unlock(160), unlocked(165, Lost)),
		lock("b", 10, 120, 220, unlock(125), unlocked(130, OK)),
	}, nil},
	{"one that was extended, and the next one in the old lease's end", [][]Event{
		lock("a", 0, 5, 100, extend(50), extended(55, OK, 150), unlock(120), unlocked(125, OK)),
		lock("b", 10, 124, 220),
	}, nil},
	{"a lock that was granted before the Until of another", [][]Event{
		lock("a", 0, 5, 100),
		lock("b", 10, 90, 200),
	}, []string{"mutex with leases"}},
	{"a lock that was granted before the end of an extension", [][]Event{
		lock("a", 0, 5, 100, extend(50), extended(55, OK, 150)),
		lock("b", 10, 140, 240),
	}, []string{"mutex with leases"}},
	{"a lock that was granted before the end of an extension that is unknown", [][]Event{
		lock("a", 0, 5, 100, extend(50), extended(55, NoQuorum, 100)),
		lock("b", 10, 110, 240),
	}, nil},
	{"an extension that bridges the lock of another", [][]Event{
		lock("a", 0, 5, 50, extend(49), extended(90, OK, 190)),
		lock("b", 55, 60, 160, unlock(65), unlocked(70, OK)),
	}, []string{"mutex with leases"}},
	{"an extension after the lock of another", [][]Event{
		lock("a", 0, 5, 50, extend(75), extended(90, OK, 190)),
		lock("b", 55, 60, 160, unlock(65), unlocked(70, OK)),
	}, []string{"mutex with leases"}},
	{"a look at a lock whose place another had taken", [][]Event{
		lock("a", 0, 5, 50, looked(70, 71, OK, 50)),
		lock("b", 55, 60, 160, unlock(80), unlocked(85, OK)),
	}, []string{"mutex with leases"}},
	{"a look that shows that it was extended", [][]Event{
		lock("a", 0, 5, 50, looked(40, 41, OK, 90), looked(80, 81, OK, 90), unlock(85), unlocked(86, OK)),
		lock("b", 10, 88, 160),
	}, nil},
	{"a lock that was granted before the end of what a look has shown", [][]Event{
		lock("a", 0, 5, 50, looked(40, 41, OK, 90)),
		lock("b", 10, 70, 160),
	}, []string{"mutex with leases"}},
	{"an Unlock of which nobody knows", [][]Event{
		lock("a", 0, 5, 100, unlock(50), unlocked(55, NoQuorum)),
		lock("b", 10, 60, 160, unlock(65)),
		lock("c", 10, 70, 170),
	}, nil},
	{"an Unlock just behind the end, when the lock was released by itself", [][]Event{
		lock("a", 0, 5, 100, unlock(102), unlocked(103, OK)),
		lock("b", 10, 101, 200),
	}, nil},
	{"an Unlock that was told to be in time when the keys had run out", [][]Event{
		lock("a", 0, 5, 100, unlock(106), unlocked(107, OK)),
		lock("b", 10, 105, 200),
	}, []string{"with answers"}},
	{"an Unlock that was told to be in time, and was not", [][]Event{
		lock("a", 0, 5, 50, unlock(80), unlocked(85, OK)),
		lock("b", 55, 60, 160),
	}, []string{"with answers"}},
	{"an Unlock that was told to be too late, and was not", [][]Event{
		lock("a", 0, 5, 100, unlock(50), unlocked(55, Lost)),
	}, []string{"with answers"}},
	{"an extension that was told of a loss that was none", [][]Event{
		lock("a", 0, 5, 100, extend(50), extended(55, Lost, 100)),
	}, []string{"with answers"}},
	{"a lock that was broken, whose holder is not told", [][]Event{
		lock("a", 0, 5, 100, looked(60, 61, OK, 100), extend(70), extended(75, Lost, 100), unlock(80), unlocked(85, Lost)),
		broken(50, 55, OK),
		lock("b", 10, 58, 200),
	}, nil},
	{"a Break of the one before, which hits the next one", [][]Event{
		lock("a", 0, 5, 100, unlock(20), unlocked(25, OK)),
		lock("b", 10, 26, 200, unlock(80), unlocked(85, Lost)),
		broken(50, 55, OK),
	}, []string{"with answers"}},
	{"a Break that has removed nothing", [][]Event{
		lock("a", 0, 5, 100, extend(60), extended(65, OK, 165)),
		broken(50, 55, OK),
	}, []string{"mutex with leases"}},
	{"a Break that was told of another one, and there was none", [][]Event{
		lock("a", 0, 5, 100, unlock(60), unlocked(65, OK)),
		broken(51, 56, Other),
	}, []string{"with answers"}},
	{"tokens that grow", [][]Event{
		locked("a", 7, 0, 5, 100, unlock(20), unlocked(25, OK)),
		locked("b", 8, 10, 26, 100, unlock(30), unlocked(35, OK)),
		inspected(40, 45, "free", "", 9),
	}, nil},
	{"a token that is no larger", [][]Event{
		locked("a", 7, 0, 5, 100, unlock(20), unlocked(25, OK)),
		locked("b", 7, 10, 26, 100),
	}, []string{"with tokens"}},
	{"an Inspect that does not know the last token", [][]Event{
		locked("a", 7, 0, 5, 100, unlock(20), unlocked(25, OK)),
		inspected(40, 45, "free", "", 6),
	}, []string{"with tokens"}},
	{"an Inspect that names the holder", [][]Event{
		lock("a", 0, 5, 100, unlock(20), unlocked(25, OK)),
		inspected(10, 45, "held", "a", 0), inspected(30, 45, "free", "", 0),
	}, nil},
	{"an Inspect that names one that is over", [][]Event{
		lock("a", 0, 5, 100, unlock(20), unlocked(25, OK)),
		inspected(30, 45, "held", "a", 0),
	}, []string{"with owners"}},
	{"an Inspect that has seen an attempt of a call, which was given up before another one was granted", [][]Event{
		lock("a", 0, 95, 200),
		attempted(inspected(10, 15, "held", "a", 0)),
		lock("b", 20, 25, 90, unlock(30), unlocked(35, OK)), inspected(26, 29, "held", "b", 0),
	}, nil},
	{"an Inspect that finds nobody where there is one", [][]Event{
		lock("a", 0, 5, 100, unlock(60), unlocked(65, OK)),
		inspected(30, 44, "free", "", 0),
	}, []string{"with owners"}},
	{"a refusal that names the holder", [][]Event{
		lock("a", 0, 5, 100), refused("b", 10, 15, "a"),
	}, nil},
	{"a refusal that names one who was never there", [][]Event{
		lock("a", 0, 5, 100), refused("b", 10, 15, "c"),
	}, []string{"with owners"}},
	{"a refusal that names one who came later", [][]Event{
		refused("b", 10, 15, "a"), lock("a", 20, 25, 100),
	}, []string{"with owners"}},
}

func history(t *testing.T, parts ...[]Event) *History {
	t.Helper()
	var all []Event
	for _, part := range parts {
		all = append(all, part...)
	}
	h, err := NewHistory(3, all)
	require.NoError(t, err)
	return h
}

func TestModelsRefuseWhatALockMustNotDoAndNothingElse(t *testing.T) {
	for _, tt := range byHand {
		t.Run(tt.name, func(t *testing.T) {
			var refused []string
			together := false
			for _, v := range Check(history(t, tt.parts...)) {
				switch {
				case v.Result == porcupine.Ok:
				case v.Model.Name == "all together":
					together = true
				default:
					refused = append(refused, v.Model.Name)
				}
			}
			if len(tt.refused) == 1 && tt.refused[0] == Models[0].Name { // which is part of all
				tt.refused = []string{"mutex with leases", "with owners", "with tokens", "with answers"}
			}
			assert.Equal(t, tt.refused, refused)
			assert.Equal(t, tt.refused != nil, together)
		})
	}
}

func TestWhatIsRefusedIsShrunkToWhatItTakes(t *testing.T) {
	var parts [][]Event
	for i := range 100 {
		at := 1000 * i
		parts = append(parts, locked(fmt.Sprint("w-", i), int64(i)+1, at, at+5, at+100, looked(at+10, at+11, OK, at+100), unlock(at+50), unlocked(at+55, OK)))
	}
	parts = append(parts, lock("a", 50100, 50110, 50200, looked(50120, 50121, OK, 50200)), lock("b", 50115, 50130, 50230))
	h := history(t, parts...)
	m := &Models[len(Models)-1]
	require.True(t, m.fails(h))
	small := m.shrink(h)
	require.Len(t, small.Sections, 2)
	assert.Equal(t, "a", small.Sections[0].Asked.ID)
	assert.Equal(t, "b", small.Sections[1].Asked.ID)
	assert.Empty(t, small.Sections[0].Events)
	assert.Len(t, h.Sections, 102, "the history is as it was")
	assert.NotEmpty(t, h.Sections[51].Events)

	dir := t.TempDir()
	text, err := Verdict{Resource: "r", Model: m}.Keep(h, dir)
	require.NoError(t, err)
	assert.Contains(t, text, "grant b (lock 2)")
	assert.FileExists(t, dir+"/r.all-together.html")
}

// Each lock that was left is open to the end by itself; Porcupine would look at all orders of
// their ends.
func TestManyLocksThatWereLeftAreJudgedQuickly(t *testing.T) {
	var parts [][]Event
	for i := range 2000 {
		at := 150 * i
		parts = append(parts, lock(fmt.Sprint("w-", i), at-140, at+5, at+100, unlock(at+50), unlocked(at+60, NoQuorum)))
	}
	for _, v := range Check(history(t, parts...)) {
		assert.Equal(t, porcupine.Ok, v.Result, v)
	}
}
