package linearize

import (
	"fmt"
	"time"
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

// extendTo is an Extend to that many milliseconds.
func extendTo(at, ttl int) Event {
	return Event{T: ms(at), What: Extend, TTL: int64(time.Duration(ttl) * time.Millisecond)}
}

// showing has a call be preceded by a look at Until.
func showing(until int, e Event) Event {
	e.Until = ms(until)
	return e
}

// automatic has a lock be extended automatically.
func automatic(lock []Event) []Event {
	lock[0].Auto = true
	return lock
}

// fenced has a lock be one of a resource that is locked with tokens.
func fenced(lock []Event) []Event {
	lock[0].Resource = fencedPrefix
	return lock
}

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
	{"one that was unlocked when it had run out, and nobody had come, where a node may have got it late", [][]Event{
		lock("a", 0, 5, 100, unlock(150), unlocked(155, OK)),
		lock("b", 10, 160, 250, unlock(170), unlocked(175, OK)),
	}, nil},
	{"one that was unlocked when no node can have had it any more", [][]Event{
		lock("a", 0, 5, 100, unlock(750), unlocked(755, OK)),
	}, []string{"with answers"}},
	{"one that was told to be too late then", [][]Event{
		lock("a", 0, 5, 100, unlock(750), unlocked(755, RanOut)),
	}, nil},
	{"one that was unlocked long after an extension of which nobody knows, and which may have prolonged its keys", [][]Event{
		lock("a", 0, 5, 100, extendTo(50, 500), extended(55, NoQuorum, 100), unlock(750), unlocked(755, OK)),
	}, nil},
	{"one that is asked about a day long", [][]Event{
		lock("a", 0, 5, 100, looked(90_000, 90_001, OK, 100), extend(95_000), extended(95_005, OK, 95_100), unlock(95_050), unlocked(95_055, OK)),
		lock("b", 95_010, 95_060, 95_150),
	}, []string{"with answers"}},
	{"a look that finds the lock valid after its Until", [][]Event{
		lock("a", 0, 5, 100, looked(103, 104, OK, 100)),
	}, []string{"with answers"}},
	{"a look that begins before the Until, and ends after it", [][]Event{
		lock("a", 0, 5, 100, looked(90, 150, OK, 100)),
	}, nil},
	{"a look that finds the lock valid again", [][]Event{
		lock("a", 0, 5, 100, extend(50), extended(55, RanOut, 100), looked(60, 61, OK, 100)),
	}, []string{"with answers"}},
	{"an extension that is asked for after the Until", [][]Event{
		lock("a", 0, 5, 100, extend(103), extended(104, OK, 200)),
	}, []string{"with answers"}},
	{"an extension that is asked for before the Until, and told after it", [][]Event{
		lock("a", 0, 5, 100, extend(90), extended(150, OK, 190)),
	}, nil},
	{"an extension after the Until that was written down last, of a lock that is extended automatically", [][]Event{
		automatic(lock("a", 0, 5, 100, showing(180, extend(150)), extended(155, OK, 250))),
	}, nil},
	{"an extension after the Until that it has found", [][]Event{
		automatic(lock("a", 0, 5, 100, showing(145, extend(150)), extended(155, OK, 250))),
	}, []string{"with answers"}},
	{"a lock that was granted before the end of what an Unlock has found", [][]Event{
		automatic(lock("a", 0, 5, 100, showing(180, unlock(150)), unlocked(155, OK))),
		lock("b", 10, 120, 220),
	}, []string{"mutex with leases"}},
	{"one that ran out before its Until", [][]Event{
		lock("a", 0, 5, 500, looked(100, 101, OK, 500), looked(150, 151, RanOut, 500), unlock(160), unlocked(165, RanOut)),
	}, []string{"with answers"}},
	{"one that ran out before its Until, so that another one was let in", [][]Event{
		lock("a", 0, 5, 500, looked(100, 101, OK, 500), looked(150, 151, RanOut, 500), unlock(160), unlocked(165, Lost)),
		lock("b", 105, 110, 210),
	}, []string{"mutex with leases"}},
	{"one that ended early without a reason", [][]Event{
		lock("a", 0, 5, 500, looked(150, 151, Unsure, 500)),
	}, []string{"with answers"}},
	{"an extension to less that came too late", [][]Event{
		lock("a", 0, 5, 500, extendTo(100, 20), extended(150, RanOut, 118), unlock(160), unlocked(165, Lost)),
		lock("b", 10, 155, 255),
	}, nil},
	{"an extension to less that ran out before the end of that", [][]Event{
		lock("a", 0, 5, 500, extendTo(100, 80), extended(150, RanOut, 140)),
	}, []string{"with answers"}},
	{"an extension to less of which nobody knows", [][]Event{
		lock("a", 0, 5, 500, extendTo(100, 20), extended(110, NoQuorum, 118), looked(125, 126, RanOut, 118)),
		lock("b", 10, 127, 220),
	}, nil},
	{"an extension of which nobody knows, and which takes away from the lease", [][]Event{
		lock("a", 0, 5, 500, extendTo(100, 300), extended(110, NoQuorum, 118)),
	}, []string{"with answers"}},
	{"an Until that goes back", [][]Event{
		lock("a", 0, 5, 100, looked(60, 61, OK, 100), looked(70, 71, OK, 80)),
	}, []string{"with answers"}},
	{"a look at a lock that another one has, after a Break that was told so", [][]Event{
		lock("a", 0, 5, 100, looked(99, 100, OK, 100), looked(130, 131, OK, 100)),
		lock("b", 10, 110, 210),
		broken(120, 125, Other),
	}, []string{"mutex with leases"}},
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
	{"an automatic extension that was made before a Break, and that the holder heard of after a look behind it", [][]Event{
		automatic(lock("a", 0, 5, 100, looked(70, 71, OK, 100), looked(150, 151, RanOut, 140), unlock(160), unlocked(165, RanOut))),
		broken(50, 55, OK),
		lock("b", 10, 58, 150),
	}, nil},
	{"an automatic extension that was made after a Break", [][]Event{
		automatic(lock("a", 0, 5, 100, looked(70, 71, OK, 100), looked(170, 171, RanOut, 160), unlock(180), unlocked(185, RanOut))),
		broken(50, 55, OK),
	}, []string{"mutex with leases"}},
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
	{"a grant without a token, where each has one", [][]Event{
		fenced(locked("a", 7, 0, 5, 100, unlock(20), unlocked(25, OK))),
		fenced(lock("b", 10, 26, 100)),
	}, []string{"with tokens"}},
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
