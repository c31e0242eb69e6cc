package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// width42 leaves 20 cells: slices of 100 ms in a run of 2 s.
var width42 = picture{width: 42, height: 24, run: 2 * time.Second}

const ms = time.Millisecond

func twoWorkers() *journal {
	j := newJournal(2, 3)
	j.title, j.over = "title", 1500*ms
	j.changes = [][]change{
		{{0, waiting}, {100 * ms, holding}, {300 * ms, dead}, {350 * ms, idle}, {600 * ms, waiting}, {800 * ms, idle}},
		{{0, waiting}, {350 * ms, holding}, {500 * ms, extended}, {800 * ms, idle}, {1310 * ms, holding}, {1360 * ms, idle}},
	}
	j.sections = []int{1, 2}
	j.marks = []mark{{950 * ms, "off", red}, {1450 * ms, "too long for its place", blue}}
	j.crash = &crash{worker: 0, at: 300 * ms, next: 1, after: 350 * ms}
	j.events = []event{{100 * ms, "silent", false}, {500 * ms, "extended", true}}
	return j
}

func TestPictureShowsWhoHasTheLockWhen(t *testing.T) {
	j := twoWorkers()
	rows := width42.rows(j.view(width42.window))
	for i, row := range rows {
		rows[i] = strings.TrimRight(withoutStyles(row), " ")
	}
	want := []string{
		"title",
		"                    ┊off ┊          turns",
		"worker 1 ✗ ─██░  ── ┊    ┊              1",
		"worker 2   ───▌█▓▓▓ ┊   ▌┊              2",
		"",
		"the lock   " + " ██▌█▓▓▓     ▌               3",
		"           ╵0 s      ╵1 s",
		"           █ has the lock   ▓ extended by hand   ─ waits   ░ crashed with it",
		"",
		"   0.500s  extended",
	}
	assert.Equal(t, strings.Join(want, "\n"), strings.Join(rows, "\n"))
}

func withoutStyles(row string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(row, "\x1b[") {
		if _, text, styled := strings.Cut(part, "m"); styled && b.Len()+len(part) < len(row) {
			part = text
		}
		b.WriteString(part)
	}
	return b.String()
}

func TestPictureHasNoColoursIfNotWanted(t *testing.T) {
	j := twoWorkers()
	plain := strings.Join(width42.rows(j.view(width42.window)), "\n")
	assert.NotContains(t, plain, "38;5;")
	assert.NotContains(t, plain, "48;5;")
	coloured := width42
	coloured.colour = true
	assert.Contains(t, strings.Join(coloured.rows(j.view(coloured.window)), "\n"), "38;5;33m")
}

func TestLongRunIsSeenThroughAMovingWindow(t *testing.T) {
	p := picture{width: 42, height: 24, run: time.Hour}
	from, to := p.window(time.Second)
	assert.Equal(t, []time.Duration{0, 2 * time.Second}, []time.Duration{from, to})
	from, to = p.window(10*time.Second + 30*ms)
	assert.Equal(t, []time.Duration{8100 * ms, 10100 * ms}, []time.Duration{from, to})

	j := newJournal(1, 1)
	j.over = 10 * time.Second
	j.changes[0] = []change{{0, waiting}, {time.Second, holding}}
	row := withoutStyles(p.rows(j.view(p.window))[2])
	assert.Equal(t, "worker 1   "+strings.Repeat("█", 19)+"          0", row)
}

func TestPictureFitsTheTerminal(t *testing.T) {
	p := picture{width: 80, height: 24, run: 10 * time.Second}
	j := newJournal(40, 3)
	for i := range 10 {
		j.note("note %d", i)
	}
	rows := p.rows(j.view(p.window))
	assert.Less(t, len(rows), p.height)
	assert.Contains(t, strings.Join(rows, "\n"), "… and 30 more")
	for _, row := range rows {
		assert.LessOrEqual(t, utf8.RuneCountInString(withoutStyles(row)), p.width, row)
	}
}

// aFullRun is one of as many workers as there are by default in which everything
// happens, and is told in long words.
func aFullRun(workers int) (*journal, summary) {
	j := newJournal(workers, 3)
	j.title, j.over = strings.Repeat("t", 80), 10*time.Second
	j.crash = &crash{worker: 7, at: 1234 * ms, next: 6, after: 2222 * ms}
	j.marks = []mark{{5 * time.Second, "node 2 frozen", blue}, {7500 * ms, "node 3 stopped", red}}
	j.frozen = &faulty{node: 1, gate: true, at: 5 * time.Second, over: 7 * time.Second}
	j.stopped = &faulty{node: 2, at: 7500 * ms}
	for i := range 123 {
		j.frozen.handOvers = append(j.frozen.handOvers, time.Duration(i)*ms)
		j.stopped.handOvers = append(j.stopped.handOvers, ms)
	}
	for i := range 10 {
		j.note("note %d", i)
	}
	n := &nodes{addrs: []string{"a", "b", "c"}, embedded: make([]*embedded, 3)}
	return j, j.summarize(n, config{workers: workers, run: 10 * time.Second, ttl: time.Second})
}

func TestThePictureThatStaysFitsTheTerminalWithItsTitleAndThreeSentences(t *testing.T) {
	p := picture{width: 80, height: 24, run: 10 * time.Second}
	for _, workers := range []int{8, 40} {
		j, end := aFullRun(workers)
		require.Len(t, end.sentences, 3)
		rows := p.last(j.view(p.window), end.sentences)
		assert.Less(t, len(rows), p.height, "%d workers", workers)
		assert.Equal(t, j.title, rows[0])
		text := withoutStyles(strings.Join(rows, "\n"))
		for _, want := range []string{"┊node 2 frozen", "┊node 3 stopped", "worker 8 ✗", "░ crashed with it"} {
			assert.Contains(t, text, want, "%d workers", workers)
		}
		assert.NotContains(t, text, "note 9", "the sentences take their place")
		assert.Contains(t, strings.Join(strings.Fields(text), " "), strings.Join(end.sentences, " "))
		for _, row := range rows {
			assert.LessOrEqual(t, utf8.RuneCountInString(withoutStyles(row)), p.width, row)
		}
	}
}

func TestTerminalIsLeftAsItWas(t *testing.T) {
	var out bytes.Buffer
	screen := &terminal{w: &out, picture: width42}
	j := newJournal(1, 1)
	screen.draw(j)
	first := screen.rows
	screen.draw(j)
	screen.close(j, summary{sentences: []string{"The end."}})
	assert.True(t, strings.HasPrefix(out.String(), hideCursor+cutLines))
	assert.Equal(t, 2, strings.Count(out.String(), fmt.Sprintf(cursorUpFmt, first)))
	assert.True(t, strings.HasSuffix(out.String(), wrapLines+showCursor))
}

func TestOnlyATerminalGetsThePicture(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = null.Close() }()
	for _, w := range []*os.File{file, null} {
		assert.IsType(t, &lines{}, newScreen(w, os.Getenv, config{}))
	}
	assert.IsType(t, &lines{}, newScreen(&bytes.Buffer{}, os.Getenv, config{}))
}

func TestSectionsOverlapUnlessTheFirstWasToldToEnd(t *testing.T) {
	j := newJournal(3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	j.enter(ctx, 0)
	cancel()
	leave := j.enter(t.Context(), 1)
	assert.Zero(t, j.overlaps)
	j.enter(t.Context(), 2)
	assert.Equal(t, 1, j.overlaps)
	leave()
}

func TestLongestWaitCountsThoseThatNeverGotTheLock(t *testing.T) {
	j := newJournal(2, 1)
	j.changes[0] = []change{{0, waiting}, {100 * ms, holding}}
	j.changes[1] = []change{{0, waiting}}
	j.began = time.Now().Add(-time.Second)
	j.end()
	assert.Equal(t, 1, j.longest.worker)
	assert.GreaterOrEqual(t, j.longest.time, time.Second)
}
