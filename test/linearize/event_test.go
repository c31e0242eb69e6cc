//go:build linux

package linearize

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatAWorkerHasWrittenIsReadUpToWhereItWasKilled(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecorder(filepath.Join(dir, "w"+eventFile))
	require.NoError(t, err)
	r.put(&Event{T: 1, What: Asked, ID: "a"})
	r.put(&Event{T: 2, What: Granted, ID: "a"})
	_, err = r.file.WriteString(`{"t":3,"wha`)
	require.NoError(t, err)
	events, err := readEvents(dir)
	require.NoError(t, err)
	assert.Len(t, events, 2)

	_, err = r.file.WriteString("\n")
	require.NoError(t, err)
	r.put(&Event{T: 4, What: Failed, ID: "a"})
	_, err = readEvents(dir)
	require.Error(t, err, "half a line in the middle is an error")
	require.NoError(t, os.Remove(r.file.Name()))
}

func TestMomentsOfGoAreTheSameOnTheClockOfAll(t *testing.T) {
	for range 100 {
		before := monotonic()
		now := time.Now()
		at := onClock(now)
		after := monotonic()
		assert.GreaterOrEqual(t, at, before-int64(time.Millisecond))
		assert.LessOrEqual(t, at, after)
	}
}
