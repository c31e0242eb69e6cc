package linearize

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func history(t *testing.T, parts ...[]Event) *History {
	t.Helper()
	var all []Event
	for _, part := range parts {
		all = append(all, part...)
	}
	h, err := NewHistory(3, all)
	require.NoError(t, err)
	return h
}

func TestModelsRefuseWhatALockMustNotDoAndNothingElse(t *testing.T) {
	for _, tt := range byHand {
		t.Run(tt.name, func(t *testing.T) {
			var refused []string
			together := false
			for _, v := range Check(history(t, tt.parts...)) {
				switch {
				case v.Result == porcupine.Ok:
				case v.Model.Name == "all together":
					together = true
				default:
					refused = append(refused, v.Model.Name)
				}
			}
			if len(tt.refused) == 1 && tt.refused[0] == Models[0].Name { // which is part of all
				tt.refused = []string{"mutex with leases", "with owners", "with tokens", "with answers"}
			}
			assert.Equal(t, tt.refused, refused)
			assert.Equal(t, tt.refused != nil, together)
		})
	}
}

func TestAResourceThatNobodyWasGrantedIsNoticed(t *testing.T) {
	h := history(t, lock("a", 0, 5, 100), fenced(refused("c", 20, 25, "a")))
	assert.Equal(t, []string{fencedPrefix, "plain"}, h.neverGranted([]string{"r", fencedPrefix, "plain"}))
}

func TestWhatIsRefusedIsShrunkToWhatItTakes(t *testing.T) {
	var parts [][]Event
	for i := range 100 {
		at := 1000 * i
		parts = append(parts, locked(fmt.Sprint("w-", i), int64(i)+1, at, at+5, at+100, looked(at+10, at+11, OK, at+100), unlock(at+50), unlocked(at+55, OK)))
	}
	parts = append(parts, lock("a", 50100, 50110, 50200, looked(50120, 50121, OK, 50200)), lock("b", 50115, 50130, 50230))
	h := history(t, parts...)
	m := &Models[len(Models)-1]
	require.True(t, m.fails(h))
	small := m.shrink(h)
	require.Len(t, small.Sections, 2)
	assert.Equal(t, "a", small.Sections[0].Asked.ID)
	assert.Equal(t, "b", small.Sections[1].Asked.ID)
	assert.Empty(t, small.Sections[0].Events)
	assert.Len(t, h.Sections, 102, "the history is as it was")
	assert.NotEmpty(t, h.Sections[51].Events)

	dir := t.TempDir()
	text, err := Verdict{Resource: "r", Model: m}.Keep(h, dir)
	require.NoError(t, err)
	assert.Contains(t, text, "grant b (lock 2)")
	assert.FileExists(t, dir+"/r.all-together.html")
}

// Each lock that was left is open to the end by itself; Porcupine would look at all orders of
// their ends.
func TestManyLocksThatWereLeftAreJudgedQuickly(t *testing.T) {
	var parts [][]Event
	for i := range 2000 {
		at := 150 * i
		parts = append(parts, lock(fmt.Sprint("w-", i), at-140, at+5, at+100, unlock(at+50), unlocked(at+60, NoQuorum)))
	}
	for _, v := range Check(history(t, parts...)) {
		assert.Equal(t, porcupine.Ok, v.Result, v)
	}
}

// What holds commands back lets keys be placed late.
func TestAFaultExcusesAnUnlockThatFindsKeysLate(t *testing.T) {
	h := history(t, lock("a", 0, 5, 100, unlock(1400), unlocked(1405, OK)))
	m := &Models[len(Models)-1]
	for _, tt := range []struct {
		name    string
		faults  []Fault
		refused bool
	}{
		{"no fault", nil, true},
		{"one that lasted long enough", []Fault{{"black hole", ms(3), ms(800)}}, false},
		{"one that took over from another", []Fault{{"delayed", ms(300), ms(800)}, {"black hole", ms(3), ms(400)}}, false},
		{"one that began later", []Fault{{"delayed", ms(300), ms(800)}}, true},
		{"one that ended before", []Fault{{"black hole", ms(-500), ms(4)}}, true},
	} {
		h.Faults = tt.faults
		assert.Equal(t, tt.refused, m.fails(h), tt.name)
	}
}
