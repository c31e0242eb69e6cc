package inspect

import (
	"encoding/json"
	"time"

	"github.com/b0401464/redlock/internal/value"
)

// MarshalJSON returns an object whose names are in snake case. Times are in RFC 3339, durations
// in seconds, −1 for one without an end, and errors are their texts.
func (s *State) MarshalJSON() ([]byte, error) {
	out := stateJSON{
		Resource: s.Resource, At: s.At, Verdict: s.Verdict, Holder: jsonOf(s.Holder, s.Remaining),
		Token: s.Token, Gate: s.Gate, Waiting: []waiterJSON{}, Nodes: []nodeJSON{},
	}
	for _, w := range s.Waiting {
		out.Waiting = append(out.Waiting, waiterJSON(w))
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		node := nodeJSON{
			Node: n.Node, Addr: n.Addr, Holder: jsonOf(n.Holder, n.Remaining), Kept: n.Kept, Token: n.Token, Waiting: n.Waiting,
		}
		if n.Err != nil {
			node.Error = errText(n.Err)
		}
		if n.PartErr != nil {
			node.PartError = errText(n.PartErr)
		}
		out.Nodes = append(out.Nodes, node)
	}
	return json.Marshal(out)
}

type stateJSON struct {
	Resource string       `json:"resource"`
	At       time.Time    `json:"at"`
	Verdict  Verdict      `json:"verdict"`
	Holder   *holderJSON  `json:"holder"`
	Token    int64        `json:"token"`
	Gate     int          `json:"gate"`
	Waiting  []waiterJSON `json:"waiting"`
	Nodes    []nodeJSON   `json:"nodes"`
}

type nodeJSON struct {
	Node      int         `json:"node"`
	Addr      string      `json:"addr"`
	Holder    *holderJSON `json:"holder"`
	Kept      bool        `json:"kept"`
	Token     int64       `json:"token"`
	Waiting   int         `json:"waiting"`
	Error     string      `json:"error,omitempty"`
	PartError string      `json:"part_error,omitempty"`
}

type holderJSON struct {
	Mark      string    `json:"mark"`
	Owner     string    `json:"owner,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Remaining float64   `json:"remaining_seconds"`
}

type waiterJSON struct {
	Mark   string    `json:"mark"`
	Owner  string    `json:"owner,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Called bool      `json:"called"`
}

// jsonOf returns a holder as an object, nil for nobody.
func jsonOf(h value.Holder, lasts time.Duration) *holderJSON {
	if h.Mark == "" {
		return nil
	}
	seconds := lasts.Seconds()
	if lasts == Forever {
		seconds = -1
	}
	return &holderJSON{Mark: h.Mark, Owner: h.Owner, Since: h.Since, Remaining: seconds}
}
