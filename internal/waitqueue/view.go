package waitqueue

import (
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A View is what the gate of a resource has said of its holder, and how long that
// is to be believed without asking the other nodes.
type View struct {
	holder string    // has the resource at its gate; empty if that is not known
	since  time.Time // when that was seen first
	doubt  time.Time // when it is to be looked into
}

// learn takes note of what an attempt has told, which is to be believed for that long.
func (v *View) learn(now time.Time, res *round.Result, trust time.Duration) {
	if res.Gate.Granted || res.Outcome == quorum.Acquired {
		*v = View{}
	}
	named := res.Gate.Holder
	if res.Gate.Empty && res.Outcome == quorum.Held {
		named = res.Holder.Mark // the gate has lost it, and leaves the resource to it
	}
	if res.Gate.Refused && (v.holder != named || v.since.IsZero()) {
		*v = View{holder: named, since: now, doubt: now.Add(trust)}
	}
	if v.confirmed(res) {
		v.doubt = now.Add(trust)
	}
}

// confirmed reports whether a majority of the nodes has said the same of the holder as the
// gate, or as it said last where the others were quicker.
func (v *View) confirmed(res *round.Result) bool {
	return !res.GateOnly && res.Outcome == quorum.Held && v.holder != "" && v.holder == res.Holder.Mark &&
		(res.Gate.Holder == v.holder || res.Gate.Empty || !res.Gate.Refused && !res.Gate.Granted)
}

// Doubts reports whether the gate has named the same holder for so long that the other
// nodes may know better.
func (v *View) Doubts(now time.Time) bool { return v.holder != "" && now.After(v.doubt) }

// Age returns for how long the gate has named the same holder.
func (v *View) Age(now time.Time) time.Duration {
	if v.since.IsZero() {
		return 0
	}
	return now.Sub(v.since)
}
