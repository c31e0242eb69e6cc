package simulation

import (
	"fmt"
	"time"
)

// LineStats counts what befell the calls that waited in line at a gate.
type LineStats struct {
	Joined    int // calls that were in line
	Cancelled int // of those, by their context
	GivenUp   int // by WithMaxWait, or the end of their schedule
	Tries     int // with a single attempt, while others were in line

	Quit, Died, Missed int // gave up, was killed, or did not hear it when it was called
	Killed             int // processes
	KilledInLine       int // of those, with somebody in line
	Deafened           int // connections that listened, and hang

	Judged     int           // pairs of which one was called, the first one
	Passed     int           // releases that had to call somebody
	Unjudged   int           // pairs of which something was wrong for the one who was not
	Overtaken  int           // times that a free resource was had by one who was later in line
	Most       int           // of those, at the cost of one
	Free       time.Duration // the longest time that nobody had a resource that somebody waited for
	FreeBeside time.Duration // the same while something was wrong for others
}

func (s *LineStats) add(t *LineStats) {
	s.Joined += t.Joined
	s.Cancelled += t.Cancelled
	s.GivenUp += t.GivenUp
	s.Tries += t.Tries
	s.Quit += t.Quit
	s.Died += t.Died
	s.Missed += t.Missed
	s.Killed += t.Killed
	s.KilledInLine += t.KilledInLine
	s.Deafened += t.Deafened
	s.Judged += t.Judged
	s.Passed += t.Passed
	s.Unjudged += t.Unjudged
	s.Overtaken += t.Overtaken
	s.Most = max(s.Most, t.Most)
	s.Free = max(s.Free, t.Free)
	s.FreeBeside = max(s.FreeBeside, t.FreeBeside)
}

func (s *LineStats) String() string {
	return fmt.Sprintf(`%d calls in line, %d cancelled, %d gave up, %d single tries beside them; %d processes killed, %d of them in line
when called, %d gave up, %d were killed, %d did not hear it; %d connections that listened hung
%d releases and %d pairs in line judged, %d not; %d overtaken where nothing was reserved, one at most %d times; free for at most %v, %v while something was wrong for others`,
		s.Joined, s.Cancelled, s.GivenUp, s.Tries, s.Killed, s.KilledInLine,
		s.Quit, s.Died, s.Missed, s.Deafened,
		s.Passed, s.Judged, s.Unjudged, s.Overtaken, s.Most, s.Free, s.FreeBeside)
}
