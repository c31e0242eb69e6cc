package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A summary is the end of the story, made of what has happened.
type summary struct {
	overlaps  int
	table     []string
	sentences []string
}

func (j *journal) summarize(n *nodes, cfg config) summary {
	j.mu.Lock()
	defer j.mu.Unlock()
	var sections, errs int
	for _, count := range j.sections {
		sections += count
	}
	for _, f := range j.failures {
		errs += f.count
	}
	s := summary{overlaps: j.overlaps}
	row := func(format string, args ...any) { s.table = append(s.table, fmt.Sprintf(format, args...)) }
	row("turns             %d in %.1fs", sections, j.elapsed().Seconds())
	row("overlaps          %d", j.overlaps)
	if j.lost > 0 {
		row("locks lost        %d: their sections were told to end", j.lost)
	}
	row("longest wait      %v (worker %d)", round(j.longest.time), j.longest.worker+1)
	row("node errors seen  %d", errs)
	for i, f := range j.failures {
		if f.count > 0 {
			row("  %s: %d, the last one: %v", n.name(i), f.count, f.last)
		}
	}
	s.sentences = []string{j.tellTurns(sections), j.tellCrash(cfg), j.tellNodes(n, cfg)}
	return s
}

// tellTurns tells whether two workers ever had the lock at once.
func (j *journal) tellTurns(sections int) string {
	told := counted(sections, "turn")
	if j.overlaps == 0 {
		return told + ", never two at once."
	}
	return told + ", and " + counted(j.overlaps, "time") + " two workers had the lock at once!"
}

// tellCrash tells what became of the lock of a worker that crashed.
func (j *journal) tellCrash(cfg config) string {
	c := j.crash
	switch {
	case c == nil && cfg.workers == 1:
		return "No worker crashed: the only one had to go on."
	case c == nil && !cfg.mayCrash():
		return fmt.Sprintf("No worker crashed: its lock would have kept the others out for %v, much of this run.", cfg.ttl)
	case c == nil:
		return "No worker crashed before the end."
	}
	told := fmt.Sprintf("Worker %d crashed at %s and released nothing; ", c.worker+1, seconds(c.at))
	if c.next < 0 {
		return told + "nobody had the lock after it."
	}
	return told + fmt.Sprintf("its lock ran out by its TTL of %v, and worker %d had it at %s.", cfg.ttl, c.next+1, seconds(c.after))
}

// tellNodes tells what faulty nodes did to the callers.
func (j *journal) tellNodes(n *nodes, cfg config) string {
	if len(n.embedded) == 0 {
		told := []string{"The nodes are yours: none was frozen or stopped"}
		for i, f := range j.failures {
			if f.count > 0 {
				told = append(told, fmt.Sprintf("node %d failed %s", i+1, counted(f.count, "time")))
			}
		}
		return strings.Join(told, "; ") + "."
	}
	f := j.frozen
	if f == nil {
		return "The run ended before a node was frozen."
	}
	told := fmt.Sprintf("Node %d was frozen at %s", f.node+1, seconds(f.at)) + f.tellHandOvers(cfg.nodeTimeout())
	if f := j.stopped; f != nil {
		told += fmt.Sprintf("; node %d was stopped at %s, and %s followed", f.node+1, seconds(f.at), counted(len(f.handOvers), "turn"))
	}
	return told + "."
}

// tellHandOvers tells how soon free locks were taken while a node was frozen. A
// caller that waited for the node would do so for the node timeout.
func (f *faulty) tellHandOvers(nodeTimeout time.Duration) string {
	var quick, late []time.Duration
	for _, d := range f.handOvers {
		if d < nodeTimeout {
			quick = append(quick, d)
		} else {
			late = append(late, d)
		}
	}
	switch {
	case len(f.handOvers) == 0:
		return " and nobody took a turn before it was back"
	case len(late) == 0:
		return fmt.Sprintf(" and no caller waited for it: %s began before it was back, each within %s after the lock was free",
			counted(len(quick), "turn"), spaced(slices.Max(quick)))
	}
	told := fmt.Sprintf(": %s began before it was back, %d of them more than %s after the lock was free", counted(len(f.handOvers), "turn"), len(late), spaced(nodeTimeout))
	if f.gate {
		told += ", as the node kept the line"
	}
	return told
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// spaced returns a length of time in whole milliseconds, rounded up, or in seconds.
func spaced(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", (d+time.Millisecond-1)/time.Millisecond)
	}
	return fmt.Sprintf("%.4g s", d.Seconds())
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
