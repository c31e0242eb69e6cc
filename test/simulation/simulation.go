// Package simulation plays histories of locks in virtual time, and checks that
// the library keeps its promises in them. It is for tests only. A seed gives one
// history, of hours, in a fraction of a second.
//
// # What is simulated
//
//   - One to five nodes. Each is a miniredis that runs the library's own scripts
//     and lets keys expire by a clock of its own, which in some histories runs
//     up to 0.9 % fast or slow. Nodes freeze and go on, restart with their data,
//     which they may have to load first, and restart empty. What a node says the time
//     is can be off by hours for a while; keys last as long all the same.
//   - The network between real go-redis clients, most with default options, and
//     the nodes. Every message has its own delay, but none overtakes another one
//     on its connection. A request can get lost, so that the connection hangs; the
//     connection can be cut before the request arrives, or after it was
//     applied; the reply can get lost; a message can take longer than the client
//     waits, and then a request is applied after the client has closed the
//     connection and sent it again on another one. Black holes swallow what goes
//     between a node and one process or all, and give it back at their end or not.
//   - Locks that a node loses while it goes on, as by an eviction or by somebody who deletes
//     the key, on any number of nodes; and nodes that are silent when they have just told so.
//   - The messages by which a node tells a Locker that it is the next one in line.
//     What befalls replies befalls them too.
//   - Replicas that take over. A node can be a group of servers behind one name: its replica
//     falls behind by up to two seconds, the master dies, and what was written in between is
//     lost, while what was removed in between is there again.
//   - Processes that are stopped, at any moment, and by chance just between a look at a lock
//     and the write that it allows. What such a process sends and is sent waits, and so do its
//     workers. In every second case its clocks stand still meanwhile and move on at once.
//   - Wall clocks of processes that jump, to and fro, by up to three hours, and by chance
//     beyond the end of a lock just while it is extended.
//   - Processes, each a Locker with clients of its own, that use it in every
//     way there is: Lock, TryLock, With; extensions by hand, to shorter
//     and to longer TTLs, and automatic ones with and without a limit; contexts that
//     end, and some that panic when they are looked at; Unlock once, twice, at the same time, never; functions that go on after
//     their context has ended; Shutdown in the middle. Some are killed. In a fifth of the
//     histories many of them wait in line, and some give up, die or do not hear it just when
//     they are called.
//
// A history is a number of episodes, and hours of quiet between them. In an
// episode processes take locks while things go wrong; then all is healed. Its
// profile, drawn by the seed, says how much there is of what; see [profiles].
//
// # What is checked
//
//   - (a) The intervals of two holders of one resource never overlap. An interval
//     is from the return of Lock until the lock's context ends or Unlock is
//     called. It is excused where a loss of data had left the earlier lock on
//     fewer nodes than a majority, unless nodes are kept from voting after a restart.
//
//   - (a2) An extension is reported as a success only if a majority has voted for
//     it, and the value was on a majority at every moment since the last success;
//     a node may lose it after its vote. Late grants count within the grace that the
//     docs/guarantees.md tells of.
//
//   - (b) At every moment at which its holder was told that a lock is valid it
//     stood on a majority, unless nodes had lost it with their data. No context
//     outlasts Until, or is alive when a release is sent; the end of a lock calls no
//     context of the program's. After Unlock has returned nil, the lock does not stand on
//     a majority.
//
//   - (c) When all is quiet, no key is left that no reason is known for: a release
//     that failed on the node, of a process that is over, a copy of a command from a
//     connection that the client had given up, or a lock that nobody unlocked and that ran out a moment
//     ago. After the longest TTL no key is left at all, but the counters of tokens.
//
//   - (d) When the faults have healed, a waiter gets the lock within a bound, see
//     bound, and a lock that is extended automatically is not lost.
//
//   - (e) Nothing leaks: no node call stays open, Shutdown returns nil, and no
//     goroutine is left in the bubble.
//
//   - (f) The line is in order. The gate calls the first one in it that hears it
//     and for which nothing is wrong: its process lives, its messages
//     arrive in good time and the nodes are well, and have been for some seconds. A
//     release, or one who leaves, calls somebody. Where nothing is reserved, whoever
//     asks gets the lock, but that passes a waiter a few times only. Nobody waits for
//     long for a resource that nobody has. The callers of one process get their turn
//     in the order of their calls, whatever goes wrong.
//
//   - (g) Every second process has fencing tokens, or all have: none is issued twice, and that of
//     a later grant is larger. Where a node has lost a counter since, with its data or
//     because it was not used for long, that is so if the wall clocks of the
//     processes, which are up to half a day apart, differ by less than the time
//     between the two. Counters last as long as they are to, and no longer. Where all have
//     tokens, a Fence accepts no write of a holder behind that of a later one.
//
//   - (h) A call that gets no lock is told why: not that too few nodes answer if nothing
//     was wrong for its process, nor that another one has the lock if a majority of the
//     nodes had been frozen or down for some seconds before it began.
//
//   - (i) What a holder is told of its lock is true, as far as its process can know. Unlock
//     says nil only where a majority has answered, where not too many nodes have said that the
//     lock was gone, where nothing has told before that it was lost, and where nobody else had
//     it meanwhile; and that the lock was lost only if it had run out, or was away from so many
//     nodes. The same holds for what Extend, contexts and With say of a loss. After Extend
//     has returned nil, a majority has the lock until the new end. With returns its function's
//     error itself, or the end of the lock and that error, and tells of the release at most
//     once, and only news.
//
// # What is not
//
// The timers of a process that is stopped. They fire in the bubble: what they do reaches
// nobody before the process goes on, but it is done, so that a round is given up, say, whose
// answers a process that really was stopped would find beside its timer. Where the clocks
// stand still, the timers that end locks are late instead, by up to a second. The simulation
// looks at the contexts then, within 20 ms, as the timers of a process that goes on would. The
// interval of a lock that ran out while its process was stopped ends with its validity:
// nobody could act after that. What a stopped process may do, a write behind a look from
// before, is counted and not judged, but by the Fence. The place in line of a process that was
// stopped a moment ago is not judged either.
//
// A machine whose timers stand still together with its monotonic clock. Slots of a Cluster
// that move, replicas that answer while the master does, and two masters at a time. Errors
// that a server answers, but that it loads its data.
//
// A seed governs everything but the order of goroutines that run at the same
// instant, and the pauses that the library and go-redis draw from sources of
// their own: after a tie of contenders, and before a command is sent again. A
// history that does not hang on those goes the same way each time; one that
// does may take several runs to show its violation again.
package simulation

import (
	"fmt"
	"time"
)

// A Result is what came of a history.
type Result struct {
	Seed       uint64
	Profile    string
	Nodes      int
	Violations []Violation
	Stats      Stats
	world      *world
}

// Log returns the part of the history that a violation is about.
func (r *Result) Log(v Violation) string {
	if r.world == nil {
		return "" // it did not come to an end
	}
	return r.world.excerpt(v)
}

// Run runs the history of a seed and checks it. It is to be called in a bubble
// of testing/synctest, and leaves no goroutine in it.
func Run(seed uint64) *Result {
	w := newWorld(seed)
	w.live()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check()
	w.stats.Histories, w.stats.Life = 1, time.Since(w.began)
	return &Result{
		Seed: seed, Profile: w.profile.name, Nodes: len(w.nodes), Violations: w.found, Stats: w.stats, world: w,
	}
}

// Stats counts what histories were made of.
type Stats struct {
	Histories  int
	Life       time.Duration // virtual time
	Locks      int           // granted
	Several    int           // of those, on several resources
	Extensions int           // that succeeded
	Commands   int           // scripts that nodes have run
	Batches    int           // of several calls each
	Batched    int           // calls in them
	Messages   int           // by which nodes have told a Locker that it is the next one

	Faults    [faultKinds]int // besides what befell single messages
	Loads     int             // nodes that loaded their data after a restart
	Erased    int             // locks that nodes lost, while they went on
	Stopped   int             // processes that were, for a while
	Leaps     int             // wall clocks of processes that jumped
	FailOvers int             // nodes whose replica took over, which was behind
	Missing   int             // nodes that went silent when they had just said that a lock was gone
	Hung      int             // connections, with a request or a reply lost
	Cut       int             // connections, with a request lost
	Reset     int             // connections, instead of a reply
	Delayed   int             // messages by a second or more
	Copies    int             // applied after the client had closed the connection
	Failed    int             // calls that came back with an error of the network

	Line LineStats

	Panics     int     // of contexts of the program's own
	Told       int     // calls that got no lock, whose error was judged
	Affirmed   int     // calls and contexts that told a holder that all went well
	Denied     int     // of those that told that the lock was lost
	Unsure     int     // of those that told anything else
	Writes     int     // behind a look that has found the lock valid
	LateWrites int     // of them, when another one had been granted, as the process was stopped in between
	Refused    int     // by a Fence
	LateEnds   int     // contexts that ended late, as the process was stopped
	Overlaps   int     // pairs of holders at the same time, excused by that
	Excused    int     // locks that a loss of data had left on less than a majority
	Tokens     int     // pairs of grants whose tokens were compared
	Clocked    int     // of them, after a counter may have been lost, for which the clocks stand in
	LeftBehind int     // keys that outlived their lock, all of them explained
	Waits      int     // for a lock after everything was healed
	WaitShare  float64 // the longest of them, as a share of its bound
}

// Add adds up what histories were made of.
func (s *Stats) Add(t *Stats) {
	s.Histories += t.Histories
	s.Life += t.Life
	s.Locks += t.Locks
	s.Several += t.Several
	s.Extensions += t.Extensions
	s.Commands += t.Commands
	s.Batches += t.Batches
	s.Batched += t.Batched
	s.Messages += t.Messages
	for i := range s.Faults {
		s.Faults[i] += t.Faults[i]
	}
	s.Loads += t.Loads
	s.Erased += t.Erased
	s.Missing += t.Missing
	s.FailOvers += t.FailOvers
	s.Stopped += t.Stopped
	s.Leaps += t.Leaps
	s.Writes += t.Writes
	s.LateWrites += t.LateWrites
	s.Refused += t.Refused
	s.LateEnds += t.LateEnds
	s.Hung += t.Hung
	s.Cut += t.Cut
	s.Reset += t.Reset
	s.Delayed += t.Delayed
	s.Copies += t.Copies
	s.Failed += t.Failed
	s.Line.add(&t.Line)
	s.Panics += t.Panics
	s.Told += t.Told
	s.Affirmed += t.Affirmed
	s.Denied += t.Denied
	s.Unsure += t.Unsure
	s.Overlaps += t.Overlaps
	s.Excused += t.Excused
	s.Tokens += t.Tokens
	s.Clocked += t.Clocked
	s.LeftBehind += t.LeftBehind
	s.Waits += t.Waits
	s.WaitShare = max(s.WaitShare, t.WaitShare)
}

func (s *Stats) String() string {
	f := s.Faults
	return fmt.Sprintf(`%v of virtual time
%d locks, %d of them on several resources, %d extensions, %d scripts run by nodes, %d messages; %d calls in %d batches
%d nodes frozen, %d restarted, %d restarted empty, %d unplugged; %d black holes around a node, %d between it and a process
%d loaded their data; the clocks of %d were off; %d replicas took over; %d locks erased, %d nodes silent when they had said that one was gone
%d connections hung, %d cut, %d reset after a request was applied; %d messages of a second or more
%d requests applied after the client had closed the connection; %d calls failed
%v
%d contexts of the program's own panicked; %d calls that got no lock were told why; %d locks excused for a loss of data, and %d overlaps; %d keys left behind, all explained
%d processes stopped, %d wall clocks of processes jumped; %d writes, %d of them late, %d refused by a fence; %d contexts that ended late in stopped processes
holders were told %d times that all went well, %d times that the lock was lost, and %d times something else
%d pairs of fencing tokens compared, for %d of them the clocks stand in
%d waits after everything was healed, the longest %.0f %% of its bound`,
		s.Life.Round(time.Minute),
		s.Locks, s.Several, s.Extensions, s.Commands, s.Messages, s.Batched, s.Batches,
		f[freezes], f[restarts], f[restartsEmpty], f[unplugged], f[blackHole], f[blackHolePair],
		s.Loads, f[jumps], s.FailOvers, s.Erased, s.Missing,
		s.Hung, s.Cut, s.Reset, s.Delayed,
		s.Copies, s.Failed,
		&s.Line,
		s.Panics, s.Told, s.Excused, s.Overlaps, s.LeftBehind,
		s.Stopped, s.Leaps, s.Writes, s.LateWrites, s.Refused, s.LateEnds, s.Affirmed, s.Denied, s.Unsure, s.Tokens, s.Clocked,
		s.Waits, 100*s.WaitShare)
}
