package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// A screen shows a journal while it is written.
type screen interface {
	draw(j *journal)               // brings the screen up to date
	close(j *journal, end summary) // does so for the last time, and tells the end
}

// keepDrawing draws ten times a second until ended is closed, and once more.
func keepDrawing(s screen, j *journal, ended <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s.draw(j)
		select {
		case <-tick.C:
		case <-ended:
			s.draw(j)
			return
		}
	}
}

// newScreen returns a picture if stdout is a terminal that can show it, and
// plain lines if not.
func newScreen(stdout io.Writer, env func(string) string, cfg config) screen {
	if !isTerminal(stdout) || env("TERM") == "dumb" {
		return &lines{w: stdout}
	}
	return &terminal{w: stdout, picture: picture{
		width:  number(env("COLUMNS"), 80),
		height: number(env("LINES"), 24),
		colour: env("NO_COLOR") == "",
		run:    cfg.run,
	}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too
	return err != nil || !os.SameFile(info, null)
}

// number returns s as a positive number, or otherwise if it is none.
func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// lines is the screen that only goes on, one line an event.
type lines struct {
	w       io.Writer
	titled  bool
	printed int // events
}

func (l *lines) draw(j *journal) {
	var b bytes.Buffer
	title, events := j.eventsFrom(l.printed)
	if !l.titled {
		b.WriteString(title + "\n\n")
		l.titled = true
	}
	for _, e := range events {
		b.WriteString(e.String() + "\n")
	}
	l.printed += len(events)
	_, _ = l.w.Write(b.Bytes())
}

func (l *lines) close(j *journal, end summary) {
	l.draw(j)
	_, _ = io.WriteString(l.w, "\n"+strings.Join(end.table, "\n")+"\n\n"+strings.Join(end.sentences, "\n")+"\n")
}

func (j *journal) eventsFrom(n int) (title string, events []event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.title, j.events[n:len(j.events):len(j.events)]
}

func (e event) String() string {
	return fmt.Sprintf("%8.3fs  %s", e.at.Seconds(), e.text)
}

// terminal is the screen that redraws its picture in place.
type terminal struct {
	w       io.Writer
	picture picture
	rows    int // of the last picture; 0 before the first
}

// Control sequences. Lines that are longer than the terminal is wide are cut
// instead of wrapped: the cursor goes up by as many lines as were written.
const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	cutLines    = "\x1b[?7l"
	wrapLines   = "\x1b[?7h"
	clearToEnd  = "\x1b[K"
	clearBelow  = "\x1b[J"
	cursorUpFmt = "\x1b[%dA"
)

func (t *terminal) draw(j *journal) {
	t.show(t.picture.rows(j.view(t.picture.window)))
}

func (t *terminal) show(rows []string) {
	var b bytes.Buffer // one write a picture, so that it never shows half
	if t.rows == 0 {
		b.WriteString(hideCursor + cutLines)
	} else {
		fmt.Fprintf(&b, cursorUpFmt, t.rows)
	}
	for _, row := range rows {
		b.WriteString("\r" + row + clearToEnd + "\n")
	}
	b.WriteString(clearBelow)
	t.rows = len(rows)
	_, _ = t.w.Write(b.Bytes())
}

func (t *terminal) close(j *journal, end summary) {
	t.show(t.picture.last(j.view(t.picture.window), end.sentences))
	_, _ = io.WriteString(t.w, wrapLines+showCursor)
}
