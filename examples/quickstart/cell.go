package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// A colour is one of the terminal's 256, 0 its default.
type colour int

const (
	red  colour = 196
	blue colour = 39
)

// palette tells neighbours apart on light and dark backgrounds. None is red.
var palette = []colour{33, 208, 35, 170, 44, 179, 99, 112}

func workerColour(i int) colour { return palette[i%len(palette)] }

// A style is how text looks.
type style struct {
	fg, bg             colour
	bold, dim, reverse bool
}

// sequence returns what switches the style on; "" for the plain one. NO_COLOR
// is about colours: bold, dim and reverse stay.
func (s style) sequence(colours bool) string {
	var codes []string
	for _, c := range []struct {
		on   bool
		code string
	}{
		{s.bold, "1"},
		{s.dim, "2"},
		{s.reverse, "7"},
		{colours && s.fg > 0, fmt.Sprintf("38;5;%d", s.fg)},
		{colours && s.bg > 0, fmt.Sprintf("48;5;%d", s.bg)},
	} {
		if c.on {
			codes = append(codes, c.code)
		}
	}
	if codes == nil {
		return ""
	}
	return "\x1b[" + strings.Join(codes, ";") + "m"
}

const resetStyle = "\x1b[0m"

func (p picture) paint(s style, text string) string {
	if on := s.sequence(p.colour); on != "" {
		return on + text + resetStyle
	}
	return text
}

// A cell is one character of a row.
type cell struct {
	glyph string
	style style
	busy  bool // somebody has the lock
}

// join writes cells one after the other, switching styles where they change.
func (p picture) join(cells []cell) string {
	var b strings.Builder
	for i := 0; i < len(cells); {
		var text strings.Builder
		s := cells[i].style
		for ; i < len(cells) && cells[i].style == s; i++ {
			text.WriteString(cells[i].glyph)
		}
		b.WriteString(p.paint(s, text.String()))
	}
	return b.String()
}

// A grid maps time to cells.
type grid struct {
	from  time.Duration
	slice time.Duration
	cells int
}

func newGrid(v view, cells int) grid {
	return grid{v.from, (v.to - v.from) / time.Duration(cells), cells}
}

func (g grid) cell(at time.Duration) int {
	return min(max(int((at-g.from)/g.slice), 0), g.cells-1)
}

func (g grid) contains(c int, at time.Duration) bool {
	return at >= g.from && g.cell(at) == c
}

// eighth returns which of the nine edges of cell c is next to that moment.
func (g grid) eighth(c int, at time.Duration) int {
	in := at - g.from - time.Duration(c)*g.slice
	return int(min(max((8*in+g.slice/2)/g.slice, 0), 8))
}

// in returns the segments that touch cell c, cut to it.
func (g grid) in(c int, segments []segment) []segment {
	from := g.from + time.Duration(c)*g.slice
	to := from + g.slice
	first := sort.Search(len(segments), func(i int) bool { return segments[i].to > from })
	var touching []segment
	for _, s := range segments[first:] {
		if s.from >= to {
			break
		}
		touching = append(touching, segment{s.state, max(s.from, from), min(s.to, to)})
	}
	return touching
}

// worker returns what cell c shows of one worker: having the lock, if it had it
// for any part of the slice, or waiting.
func (g grid) worker(c int, segments []segment, fg colour) cell {
	inside := g.in(c, segments)
	shown := cell{glyph: " "}
	var held []segment
	for _, s := range inside {
		if s.state >= holding {
			held = append(held, s)
		} else {
			shown = cell{glyph: "─", style: style{dim: true}}
		}
	}
	if len(held) == 0 {
		return shown
	}
	last := held[len(held)-1]
	return g.block(c, segment{last.state, held[0].from, last.to}, fg)
}

// lefts are the blocks that fill a cell from the left, by eighths.
var lefts = []string{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"}

// block returns the character that fills what s covers of cell c.
func (g grid) block(c int, s segment, fg colour) cell {
	from, to := g.eighth(c, s.from), g.eighth(c, s.to)
	drawn := cell{style: style{fg: fg}, busy: true}
	switch {
	case s.state == extended:
		drawn.glyph = "▓"
	case s.state == dead:
		drawn.glyph = "░"
	case from == 0:
		drawn.glyph = lefts[max(to, 1)]
	case to == 8: // blocks that fill from the right are those of the left in reverse
		drawn.glyph, drawn.style.reverse = lefts[min(from, 7)], true
	case from+to < 8:
		drawn.glyph = "▌"
	default:
		drawn.glyph = "▐"
	}
	return drawn
}

// A hold is a segment of the lock's own row.
type hold struct {
	segment
	fg colour
}

// byCell returns, for each cell, who had the lock in it, in order.
func (g grid) byCell(workers []workerView) [][]hold {
	held := make([][]hold, g.cells)
	for i, w := range workers {
		for _, s := range w.segments {
			if s.state < holding {
				continue
			}
			for c := g.cell(s.from); c <= g.cell(s.to-1); c++ {
				for _, part := range g.in(c, []segment{s}) {
					held[c] = append(held[c], hold{part, workerColour(i)})
				}
			}
		}
	}
	for _, h := range held {
		sort.Slice(h, func(a, b int) bool { return h[a].from < h[b].from })
	}
	return held
}

// lock returns what cell c shows of the lock: whoever had it, or the first and
// the last of several.
func (g grid) lock(c int, held []hold) cell {
	if len(held) == 0 {
		return cell{glyph: " "}
	}
	first, last := held[0], held[len(held)-1]
	if first.fg == last.fg {
		return g.block(c, segment{last.state, first.from, last.to}, first.fg)
	}
	edge := min(max(g.eighth(c, first.to), 1), 7)
	return cell{glyph: lefts[edge], style: style{fg: first.fg, bg: last.fg}, busy: true}
}
