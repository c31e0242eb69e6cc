package linearize

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// An Event is a line that a worker writes: what it asks, before the call, or what it was
// told, after it.
type Event struct {
	// T is when that was, by CLOCK_MONOTONIC in nanoseconds: before the call of what is
	// asked, and after the return of what was told.
	T    int64 `json:"t"`
	What What  `json:"what"`
	// ID names the lock that it is about, as its owner does on the nodes, or the call of
	// Inspect or Break.
	ID       string `json:"id"`
	Call     string `json:"call,omitempty"` // of Asked: Lock, TryLock or With
	Resource string `json:"resource,omitempty"`
	TTL      int64  `json:"ttl,omitempty"`  // that is asked for, in nanoseconds
	Auto     bool   `json:"auto,omitempty"` // it is extended automatically

	From   int64  `json:"from,omitempty"`  // of Looked: before the look
	Until  int64  `json:"until,omitempty"` // what Lock.Until says, on the same clock: behind T where a call follows
	Token  int64  `json:"token,omitempty"`
	Mark   string `json:"mark,omitempty"`
	Result Result `json:"result,omitempty"`
	By     string `json:"by,omitempty"` // the owner that the library names: who has it instead
	ByMark string `json:"byMark,omitempty"`
	Text   string `json:"text,omitempty"` // of an error

	Verdict string `json:"verdict,omitempty"` // of Inspect
	Told    int    `json:"told,omitempty"`    // nodes that have told Inspect all it asked
}

// A What says what an Event is.
type What string

// Values of What.
const (
	Asked     What = "asked"     // Lock, TryLock or With is called
	Granted   What = "granted"   // it has returned a lock, or called the function
	Failed    What = "failed"    // it has returned an error
	Looked    What = "looked"    // Valid, or Err of a context: OK if the lock was told valid
	Extend    What = "extend"    // is called
	Extended  What = "extended"  // has returned
	Unlock    What = "unlock"    // is called, or the function of With is about to return
	Unlocked  What = "unlocked"  // has returned, or With has
	Inspect   What = "inspect"   // is called
	Inspected What = "inspected" // has returned
	Break     What = "break"     // is called
	Broken    What = "broken"    // has returned
	Added     What = "added"     // of a workload: the lock's ID was written into its set, if OK
)

// A Result is how a call ended, as far as a model can use it.
type Result string

// Values of Result. An outcome that nobody knows is any other, or none.
const (
	OK        Result = "ok"
	Lost      Result = "lost"      // ErrLockLost
	RanOut    Result = "ran out"   // likewise, as the validity is over
	Contended Result = "contended" // ErrContended
	NoQuorum  Result = "no quorum" // ErrNoQuorum
	Other     Result = "other"     // ErrOtherHolder
	Canceled  Result = "canceled"  // the caller's context has ended
	Unsure    Result = "unsure"    // any other
)

// readEvents returns what all workers have written to files of that directory. What was
// written last by a worker that was killed may be half a line.
func readEvents(dir string) ([]Event, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+eventFile))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, name := range names {
		text, err := os.ReadFile(name) //nolint:gosec // of the directory that was found
		if err != nil {
			return nil, err
		}
		for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
			var e Event
			if err := json.Unmarshal(in.Bytes(), &e); err != nil {
				if bytes.HasSuffix(text, in.Bytes()) {
					break
				}
				return nil, fmt.Errorf("%s: %w: %s", name, err, in.Bytes())
			}
			all = append(all, e)
		}
	}
	return all, nil
}

// eventFile ends the names of the files.
const eventFile = ".jsonl"
