package inspect_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

var at = time.Date(2026, 7, 1, 12, 0, 14, 0, time.UTC)

// state is one with everything in it.
func state() redlock.State {
	billing := redlock.Holder{Mark: "3f9a1c02", Owner: "billing-7f9c pid 4242", Since: at.Add(-14 * time.Second)}
	silent := &redlock.NodeError{Node: 3, Addr: "10.0.0.3:6379", Op: redlock.OpInspect, Err: errors.New("no answer within 1s")}
	forbidden := &redlock.NodeError{Node: 1, Addr: "10.0.0.1:6379", Op: redlock.OpInspect, Err: errors.New("NOPERM no keys")}
	return redlock.State{
		Resource: "invoice:42", At: at, Verdict: redlock.VerdictHeld, Holder: billing, Remaining: 6200 * time.Millisecond,
		Token: 17, Gate: 2,
		Waiting: []redlock.Waiter{
			{Mark: "0a0b0c0d", Owner: "web 3", Called: true},
			{Mark: "1a1b1c1d", Since: at.Add(-2100 * time.Millisecond)},
		},
		Nodes: []redlock.NodeState{
			{Node: 1, Addr: "10.0.0.1:6379", Holder: billing, Remaining: 6200 * time.Millisecond, Token: 17, PartErr: forbidden},
			{Node: 2, Addr: "10.0.0.2:6379", Holder: billing, Remaining: 6213 * time.Millisecond, Token: 16, Waiting: 2},
			{Node: 3, Addr: "10.0.0.3:6379", Err: silent},
			{Node: 4, Addr: "10.0.0.4:6379", Kept: true},
			{Node: 5, Addr: "10.0.0.5:6379", Holder: redlock.Holder{Mark: "77777777"}, Remaining: redlock.Forever},
		},
	}
}

func TestAStatePrintsAsATable(t *testing.T) {
	want := `"invoice:42": held by billing-7f9c pid 4242 since 14s ago, mark 3f9a1c02, free in 6.2s at the latest unless extended, token 17, 2 in line at node 2
NODE  ADDRESS        HOLDER                 SINCE  LEFT      MARK      NOTE
1     10.0.0.1:6379  billing-7f9c pid 4242  14s    6.2s      3f9a1c02  has not told all: NOPERM no keys
2     10.0.0.2:6379  billing-7f9c pid 4242  14s    6.2s      3f9a1c02
3     10.0.0.3:6379  ?                                                 no answer within 1s
4     10.0.0.4:6379  nobody                                            kept for the next one in line
5     10.0.0.5:6379  unnamed                       for ever  77777777
LINE  WAITS    SINCE  MARK      NOTE
1     web 3           0a0b0c0d  called
2     unnamed  2.1s   1a1b1c1d`
	s := state()
	for _, text := range []string{s.String(), fmt.Sprint(s), fmt.Sprintf("%v", s), fmt.Sprintf("%+v", &s)} {
		assert.Equal(t, want, text)
	}
	for _, tt := range []struct {
		change func(s *redlock.State)
		want   string
	}{
		{func(s *redlock.State) { s.Verdict, s.Nodes = redlock.VerdictFree, nil }, `"invoice:42": free`},
		{func(s *redlock.State) { s.Verdict, s.Nodes = redlock.VerdictFree, s.Nodes[3:4] }, "\"invoice:42\": free, and kept for the next one in line\n" +
			"NODE  ADDRESS        HOLDER  NOTE\n4     10.0.0.4:6379  nobody  kept for the next one in line"},
		{func(s *redlock.State) { s.Verdict, s.Nodes = redlock.VerdictSplit, nil }, `"invoice:42": nobody has a majority`},
		{func(s *redlock.State) { s.Verdict, s.Nodes, s.Holder = redlock.VerdictUnknown, nil, redlock.Holder{} }, `"invoice:42": unknown, 0 of 0 nodes did not tell`},
		{
			func(s *redlock.State) { s.Verdict, s.Nodes, s.Remaining = redlock.VerdictUnknown, nil, redlock.Forever },
			`"invoice:42": unknown, 0 of 0 nodes did not tell, perhaps held by billing-7f9c pid 4242 since 14s ago, mark 3f9a1c02, never free by itself as its key has no expiry`,
		},
	} {
		s := state()
		s.Token, s.Waiting = 0, nil
		tt.change(&s)
		assert.Equal(t, tt.want, s.String())
	}
	assert.NotPanics(t, func() {
		_ = redlock.State{Nodes: make([]redlock.NodeState, 1), Waiting: make([]redlock.Waiter, 1)}.String()
	})
}

func TestAStateMarshalsToJSON(t *testing.T) {
	text, err := json.Marshal(state())
	require.NoError(t, err)
	holder := `{"mark":"3f9a1c02","owner":"billing-7f9c pid 4242","since":"2026-07-01T12:00:00Z","remaining_seconds":6.2}`
	assert.JSONEq(t, `{
		"resource": "invoice:42", "at": "2026-07-01T12:00:14Z", "verdict": "held", "holder": `+holder+`, "token": 17, "gate": 2,
		"waiting": [
			{"mark": "0a0b0c0d", "owner": "web 3", "called": true},
			{"mark": "1a1b1c1d", "since": "2026-07-01T12:00:11.9Z", "called": false}
		],
		"nodes": [
			{"node": 1, "addr": "10.0.0.1:6379", "holder": `+holder+`, "kept": false, "token": 17, "waiting": 0, "part_error": "NOPERM no keys"},
			{"node": 2, "addr": "10.0.0.2:6379", "holder": {"mark": "3f9a1c02", "owner": "billing-7f9c pid 4242", "since": "2026-07-01T12:00:00Z", "remaining_seconds": 6.213}, "kept": false, "token": 16, "waiting": 2},
			{"node": 3, "addr": "10.0.0.3:6379", "holder": null, "kept": false, "token": 0, "waiting": 0, "error": "no answer within 1s"},
			{"node": 4, "addr": "10.0.0.4:6379", "holder": null, "kept": true, "token": 0, "waiting": 0},
			{"node": 5, "addr": "10.0.0.5:6379", "holder": {"mark": "77777777", "remaining_seconds": -1}, "kept": false, "token": 0, "waiting": 0}
		]}`, string(text))
	text, err = json.Marshal(redlock.State{Resource: "a\xff", At: at, Verdict: redlock.VerdictFree})
	require.NoError(t, err)
	assert.JSONEq(t, `{"resource": "a\ufffd", "at": "2026-07-01T12:00:14Z", "verdict": "free", "holder": null, "token": 0, "gate": 0, "waiting": [], "nodes": []}`, string(text))
}
