package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTheEndIsToldByWhatHappened(t *testing.T) {
	embeddedThree := &nodes{addrs: []string{"a", "b", "c"}, embedded: make([]*embedded, 3)}
	usual := config{workers: 8, run: 10 * time.Second, ttl: time.Second}
	frozen := func(handOvers ...time.Duration) func(*journal) {
		return func(j *journal) {
			j.frozen = &faulty{node: 1, at: 5 * time.Second, over: 7 * time.Second, handOvers: handOvers}
			j.stopped = &faulty{node: 2, at: 7500 * ms, handOvers: []time.Duration{ms}}
		}
	}
	const stopped = "; node 3 was stopped at 7.5 s, and 1 turn followed."
	for _, test := range []struct {
		name     string
		happened func(*journal)
		nodes    *nodes
		config   config
		which    int
		want     string
	}{
		{"turns", func(j *journal) { j.sections = []int{20, 37} }, embeddedThree, usual, 0, "57 turns, never two at once."},
		{"one turn", func(j *journal) { j.sections = []int{1} }, embeddedThree, usual, 0, "1 turn, never two at once."},
		{"overlap", func(j *journal) { j.sections, j.overlaps = []int{9}, 1 }, embeddedThree, usual, 0, "9 turns, and 1 time two workers had the lock at once!"},

		{
			"crash", func(j *journal) { j.crash = &crash{2, 1100 * ms, 4, 2120 * ms} }, embeddedThree, usual, 1,
			"Worker 3 crashed at 1.1 s and released nothing; its lock ran out by its TTL of 1s, and worker 5 had it at 2.1 s.",
		},
		{
			"crash at the end", func(j *journal) { j.crash = &crash{2, 9100 * ms, -1, 0} }, embeddedThree, usual, 1,
			"Worker 3 crashed at 9.1 s and released nothing; nobody had the lock after it.",
		},
		{"interrupted before a crash", func(*journal) {}, embeddedThree, usual, 1, "No worker crashed before the end."},
		{
			"alone", func(*journal) {}, embeddedThree,
			config{workers: 1, run: 10 * time.Second, ttl: time.Second},
			1,
			"No worker crashed: the only one had to go on.",
		},
		{
			"long TTL", func(*journal) {}, embeddedThree,
			config{workers: 8, run: 10 * time.Second, ttl: 1500 * ms},
			1,
			"No worker crashed: its lock would have kept the others out for 1.5s, much of this run.",
		},

		{
			"nobody waits for a frozen node", frozen(2*ms, 4*ms+1, 99*ms), embeddedThree, usual, 2,
			"Node 2 was frozen at 5.0 s and no caller waited for it: 3 turns began before it was back, each within 99 ms after the lock was free" + stopped,
		},
		{
			"a caller may have waited for a frozen node", frozen(2*ms, 100*ms), embeddedThree, usual, 2,
			"Node 2 was frozen at 5.0 s: 2 turns began before it was back, 1 of them more than 100 ms after the lock was free" + stopped,
		},
		{
			"the frozen node is the gate", func(j *journal) { frozen(2*ms, 150*ms)(j); j.frozen.gate = true }, embeddedThree, usual, 2,
			"Node 2 was frozen at 5.0 s: 2 turns began before it was back, 1 of them more than 100 ms after the lock was free, as the node kept the line" + stopped,
		},
		{
			"no turn beside a frozen node", frozen(), embeddedThree, usual, 2,
			"Node 2 was frozen at 5.0 s and nobody took a turn before it was back" + stopped,
		},
		{"interrupted before a node was frozen", func(*journal) {}, embeddedThree, usual, 2, "The run ended before a node was frozen."},
		{"nodes of the user", func(*journal) {}, &nodes{addrs: []string{"a"}}, usual, 2, "The nodes are yours: none was frozen or stopped."},
		{
			"nodes of the user that fail", func(j *journal) { j.failures[1].count = 2 }, &nodes{addrs: []string{"a", "b"}}, usual, 2,
			"The nodes are yours: none was frozen or stopped; node 2 failed 2 times.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := newJournal(2, 3)
			j.over = 10 * time.Second
			test.happened(j)
			assert.Equal(t, test.want, j.summarize(test.nodes, test.config).sentences[test.which])
		})
	}
}

func TestAHandOverIsTheTimeForWhichAWorkerWaitedForAFreeLock(t *testing.T) {
	j := newJournal(2, 3)
	at := func(d time.Duration) { j.over = d }
	at(time.Second)
	j.set(0, waiting)
	leave := j.enter(t.Context(), 0)
	thawed := j.nodeFrozen(1, "node 2", false)
	at(2 * time.Second)
	j.set(1, waiting)
	at(3 * time.Second)
	leave()
	at(3*time.Second + 5*ms)
	leave = j.enter(t.Context(), 1) // waited from the release on
	at(4 * time.Second)
	leave()
	at(5 * time.Second)
	j.set(0, waiting)
	at(5*time.Second + 7*ms)
	j.enter(t.Context(), 0)() // it was free before the worker came
	thawed()
	j.enter(t.Context(), 1)()
	assert.Equal(t, []time.Duration{5 * ms, 7 * ms}, j.frozen.handOvers)
}
