package waitqueue

import (
	"cmp"
	"time"

	"github.com/b0401464/redlock/internal/round"
)

// A Locker that the gate has granted the resource, and the others have not, asks
// again sooner at first: the release of the one before may be on its way to them.
const (
	alonePause = 2 * time.Millisecond
	maxAlone   = 4
)

// maxUnheard is how often a Locker asks again soon while it waits for the confirmation
// that it will be told. A node may never give it.
const maxUnheard = 4

// maxFailed is how often in a row a Locker asks again soon that stands in line, and whose gate
// fails. It may fail for long, as a server does that grants nothing yet.
const maxFailed = 4

// pauseInLine returns how long to wait before the next attempt if nobody says
// earlier that there is a reason for it.
func (w *Waiter) pauseInLine(res *round.Result, s *Facts) time.Duration {
	age := w.view.Age(s.Now)
	if res.Gate.Reserved {
		age = 0
	}
	switch {
	case s.Looks && w.joined && res.Gate.Refused && !res.Gate.Empty:
		return lookPause(res.Gate.Left, res.Gate.Rank, age, s.Random())
	case w.joined && res.Gate.Refused:
		left := res.Gate.Left
		if res.Gate.Empty {
			left = cmp.Or(res.RetryAfter, -1) // as the others say
		}
		pause := linePause(left, res.Gate.Rank, age, s.Random())
		if res.Gate.Reserved || res.Gate.Empty { // a look at what the gate has lost is one at other nodes, too
			return pause
		}
		return w.toldPause(pause, s)
	case w.failed > maxFailed:
		return w.polls(s)
	case w.joined && res.Gate.Granted && w.alone <= maxAlone:
		return time.Duration((0.75 + s.Random()/2) * float64(alonePause<<w.alone))
	case w.joined && res.RetryAfter > 0 && s.Well:
		return w.toldPause(linePause(res.RetryAfter, w.rank, age, s.Random()), s)
	case s.Listens && w.unheard < maxUnheard && s.Well:
		if !w.joined {
			w.unheard++
		}
		return min(w.polls(s), linePause(-1, 0, 0, s.Random()))
	case w.joined:
		// It may have been called, and its attempt have come to nothing: nobody calls again.
		return min(w.polls(s), linePause(-1, w.rank, age, s.Random()))
	}
	return w.polls(s)
}

// toldPause returns the pause of one that is told when it is its turn. Nobody tells the first
// one of the release of another library's lock.
func (w *Waiter) toldPause(pause time.Duration, s *Facts) time.Duration {
	if w.rank > 0 {
		return pause
	}
	if s.Renewal > 0 {
		pause = min(pause, s.Renewal)
	}
	return min(pause, max(w.polls(s), min(w.view.Age(s.Now)/agePerPoll, maxAgePoll)))
}

// The first one in line asks as often as its delay says because a lock of another library
// may have ended. The longer that has lasted, the less often: it is found ended late by a
// part of its age, maxAgePoll at most.
const (
	maxAgePoll = 200 * time.Millisecond
	agePerPoll = 20
)

// polls returns the pause of the schedule, or the one of somebody behind in this Locker who
// would ask more often.
func (w *Waiter) polls(s *Facts) time.Duration {
	pause := max(w.due.Sub(s.Now), 0)
	if w.Queues && s.Pace < w.Delay {
		pause = min(pause, time.Duration((0.75+s.Random()/2)*float64(s.Pace)))
	}
	return pause
}

// Bounds of lookPause.
const (
	minLookPause = time.Millisecond     // of the first one
	rankLook     = 2 * time.Millisecond // for each one before
	agePerLook   = 50
	maxAgeLook   = 100 * time.Millisecond
)

// lookPause is linePause where nobody can tell a Locker that it is next. The first one in
// line finds that late by its pause, so that is short, a part of how long the holder has had
// the resource; and those behind it look in time to find that they are the first one.
func lookPause(left time.Duration, rank int, age time.Duration, u float64) time.Duration {
	rank = min(max(rank, 0), int(maxLinePause/rankLook))
	pause := max(minLookPause, min(age/agePerLook, maxAgeLook))
	if rank > 0 {
		pause = max(time.Duration(rank)*rankLook, min(age/agePerPoll, maxAgePoll))
	}
	pause = time.Duration((0.5 + u/2) * float64(pause))
	if left < 0 || left >= pause {
		return pause
	}
	return min(pause, left+time.Millisecond+time.Duration(rank)*lineSpread)
}

// Bounds of linePause.
const (
	minLinePause  = 50 * time.Millisecond
	maxLinePause  = 2 * time.Second
	maxAgePause   = 400 * time.Millisecond
	agePerPause   = 4
	linePauseRank = 20 * time.Millisecond // for each one before
	lineSpread    = 5 * time.Millisecond  // for each one before, when the holder runs out
)

// linePause returns how long a Locker in line waits before it asks again although
// nobody has told it to: until what it waits for runs out, which is in left
// unless that is negative, but not for longer than those before it may take, or
// a quarter of the age of the refusal. u is uniform in [0, 1).
func linePause(left time.Duration, rank int, age time.Duration, u float64) time.Duration {
	rank = min(max(rank, 0), int(maxLinePause/linePauseRank))
	pause := max(minLinePause, min(age/agePerPause, maxAgePause), time.Duration(rank)*linePauseRank)
	pause = time.Duration((0.75 + u/2) * float64(pause))
	if left < 0 || left >= pause { // left may be as long as a duration can be
		return pause
	}
	// Redis deletes a key in the millisecond after its last one.
	return min(pause, left+time.Millisecond+time.Duration(rank)*lineSpread)
}
