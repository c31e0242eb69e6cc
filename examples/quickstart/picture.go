package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A picture draws a view: a row of cells per worker, each cell a slice of time.
type picture struct {
	width, height int // of the terminal
	colour        bool
	run           time.Duration
}

// Widths of what stands beside the cells.
const (
	labelWidth = 11 // "worker 12  "
	countWidth = 10 // "     turns"
	minCells   = 20
)

// The slices of time. A run is shown as a whole if its slices are not longer
// than maxSlice: else one could not tell the sections of 50 to 250 ms apart.
// Longer runs are seen through a window that moves along.
const (
	maxSlice    = 200 * time.Millisecond
	movingSlice = 100 * time.Millisecond
)

func (p picture) cells() int {
	return max(p.width-labelWidth-countWidth-1, minCells)
}

func (p picture) window(now time.Duration) (from, to time.Duration) {
	if p.run <= p.slices(maxSlice) {
		cells := time.Duration(p.cells())
		return 0, p.slices((p.run + cells - 1) / cells) // rounded up: the end is in the last one
	}
	window := p.slices(movingSlice)
	to = max(now.Truncate(movingSlice)+movingSlice, window) // by whole cells, so that edges don't flicker
	return to - window, to
}

// slices returns the time that a row of cells shows.
func (p picture) slices(slice time.Duration) time.Duration {
	return slice * time.Duration(p.cells())
}

// rows returns the lines of the picture, top down.
func (p picture) rows(v view) []string {
	var notes []string
	for _, e := range v.notes {
		notes = append(notes, p.note(e))
	}
	return p.above(v, notes)
}

// last returns the lines of the picture that stays: with the end of the story
// instead of the notes.
func (p picture) last(v view, sentences []string) []string {
	var lines []string
	for _, s := range sentences {
		lines = append(lines, fold(s, p.width)...)
	}
	return p.above(v, lines)
}

// above returns the picture and what is below it. As many workers are shown as
// leave room for that, and for a line of the shell.
func (p picture) above(v view, below []string) []string {
	shown := v.workers[:min(len(v.workers), max(p.height-9-max(len(below), maxNotes), 1))]
	rows := []string{v.title, p.heading(v)}
	for i, w := range shown {
		rows = append(rows, p.workerRow(v, i, w))
	}
	if hidden := len(v.workers) - len(shown); hidden > 0 {
		rows = append(rows, fmt.Sprintf("… and %d more: they are in the last row", hidden))
	}
	rows = append(rows, "", p.lockRow(v), p.axis(v), p.legend(v))
	if len(below) > 0 {
		rows = append(rows, "")
	}
	return append(rows, below...)
}

// fold breaks a sentence into lines of at most width letters, between its words.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// heading names the marks, as far as there is room for their names.
func (p picture) heading(v view) string {
	at := newGrid(v, p.cells())
	var line strings.Builder
	line.WriteString(strings.Repeat(" ", labelWidth))
	end := 0 // of the cells that are written
	for i, m := range v.marks {
		c, room := at.cell(m.at), at.cells
		if i+1 < len(v.marks) {
			room = at.cell(v.marks[i+1].at)
		}
		label := "┊" + m.label
		if c+utf8.RuneCountInString(label) > room {
			label = "┊"
		}
		if m.at >= v.from && c >= end {
			line.WriteString(strings.Repeat(" ", c-end) + p.paint(style{fg: m.colour, bold: true}, label))
			end = c + utf8.RuneCountInString(label)
		}
	}
	line.WriteString(strings.Repeat(" ", at.cells-end) + p.paint(style{dim: true}, fmt.Sprintf("%*s", countWidth, "turns")))
	return line.String()
}

// workerRow shows what one worker did. Its name is lit while it has the lock.
func (p picture) workerRow(v view, i int, w workerView) string {
	label := style{}
	if w.now >= holding {
		label = style{fg: workerColour(i), bold: true, reverse: true}
	}
	name := fmt.Sprintf("worker %-2d", i+1)
	if v.crash != nil && v.crash.worker == i {
		name = strings.TrimRight(name, " ") + " ✗"
	}
	cells := make([]cell, p.cells())
	at := newGrid(v, len(cells))
	for c := range cells {
		cells[c] = at.worker(c, w.segments, workerColour(i))
		for _, m := range v.marks {
			if at.contains(c, m.at) && !cells[c].busy {
				cells[c] = cell{glyph: "┊", style: style{fg: m.colour, bold: true}}
			}
		}
	}
	return p.paint(label, name) + strings.Repeat(" ", labelWidth-utf8.RuneCountInString(name)) + p.join(cells) +
		fmt.Sprintf("%*d", countWidth, w.sections)
}

// lockRow shows the lock itself, in the colours of those who have it.
func (p picture) lockRow(v view) string {
	at := newGrid(v, p.cells())
	held := at.byCell(v.workers)
	cells := make([]cell, p.cells())
	sections := 0
	for c := range cells {
		cells[c] = at.lock(c, held[c])
	}
	for _, w := range v.workers {
		sections += w.sections
	}
	name := "the lock"
	return p.paint(style{bold: true}, name) + strings.Repeat(" ", labelWidth-len(name)) + p.join(cells) +
		p.paint(style{bold: true}, fmt.Sprintf("%*d", countWidth, sections))
}

// axis shows the time at every step that leaves room for it.
func (p picture) axis(v view) string {
	at := newGrid(v, p.cells())
	step := time.Second
	for _, s := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second} {
		step = s
		if s >= 8*at.slice {
			break
		}
	}
	line := []rune(strings.Repeat(" ", p.cells()+countWidth))
	for t := v.from.Truncate(step); t < v.to; t += step {
		if t >= v.from {
			copy(line[at.cell(t):], []rune(fmt.Sprintf("╵%.4g s", t.Seconds())))
		}
	}
	return strings.Repeat(" ", labelWidth) + p.paint(style{dim: true}, strings.TrimRight(string(line), " "))
}

func (p picture) legend(v view) string {
	text := strings.Repeat(" ", labelWidth) + "█ has the lock   ▓ extended by hand   " + p.paint(style{dim: true}, "─") + " waits"
	if v.crash != nil {
		text += "   ░ crashed with it"
	}
	return text
}

func (p picture) note(e event) string {
	return p.paint(style{dim: true}, fmt.Sprintf("%8.3fs", e.at.Seconds())) + "  " + e.text
}
