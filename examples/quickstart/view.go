package main

import (
	"sort"
	"time"
)

// A view is what a picture shows of a journal: one window of time.
type view struct {
	title    string
	now      time.Duration
	from, to time.Duration // the window
	marks    []mark
	crash    *crash
	workers  []workerView
	notes    []event // the last notable ones
}

type workerView struct {
	now      state
	sections int
	segments []segment // within the window, in order, without the idle ones
}

// A segment is a time that a worker spent in one state.
type segment struct {
	state    state
	from, to time.Duration
}

// maxNotes is how many notable events a picture shows.
const maxNotes = 5

// view returns what happened in the window, which depends on the time.
func (j *journal) view(window func(now time.Duration) (from, to time.Duration)) view {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := view{title: j.title, now: j.elapsed(), marks: j.marks, crash: j.crash}
	v.from, v.to = window(v.now)
	for worker, changes := range j.changes {
		w := workerView{sections: j.sections[worker], segments: segments(changes, v.now, v.from, v.to)}
		if len(changes) > 0 {
			w.now = changes[len(changes)-1].state
		}
		v.workers = append(v.workers, w)
	}
	for i := len(j.events) - 1; i >= 0 && len(v.notes) < maxNotes; i-- {
		if j.events[i].notable {
			v.notes = append([]event{j.events[i]}, v.notes...)
		}
	}
	return v
}

// segments returns what lies between from and to of a worker's changes.
func segments(changes []change, now, from, to time.Duration) []segment {
	var all []segment
	first := max(sort.Search(len(changes), func(i int) bool { return changes[i].at > from })-1, 0)
	for i := first; i < len(changes) && changes[i].at < to; i++ {
		until := now
		if i+1 < len(changes) {
			until = changes[i+1].at
		}
		s := segment{changes[i].state, max(changes[i].at, from), min(until, to)}
		if s.state != idle && s.from < s.to {
			all = append(all, s)
		}
	}
	return all
}
