package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/b0401464/redlock"
)

// A screen is a terminal that shows one picture after the other in the same place. A nil one
// is none.
type screen struct {
	file    *os.File
	signals chan os.Signal // of a stop, and of another size
}

const (
	enter     = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leave     = "\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	eraseLine = "\x1b[K\r\n"
	eraseRest = "\x1b[J"
	bold      = "\x1b[1m"
	plain     = "\x1b[0m"
)

// newScreen returns nil if out is no terminal.
func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	s := &screen{f, make(chan os.Signal, 1)}
	notifyScreen(s.signals)
	s.write(enter)
	return s
}

func (s *screen) close() {
	if s != nil {
		s.write(leave)
	}
}

// events returns the signals to obey.
func (s *screen) events() <-chan os.Signal {
	if s == nil {
		return nil
	}
	return s.signals
}

// write does not tell of a terminal that was hung up: that ends the program.
func (s *screen) write(text string) { _, _ = s.file.WriteString(text) }

// draw shows states, as much of them as there is room for.
func (s *screen) draw(states []redlock.State, every time.Duration) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	lines := []string{fmt.Sprintf("every %v: redlock who    %s", every, time.Now().Format(time.TimeOnly))}
	for _, state := range states {
		lines = append(lines, "")
		for i, line := range strings.Split(state.String(), "\n") {
			line = cut(line, width)
			if i == 0 {
				line = bold + line + plain
			}
			lines = append(lines, line)
		}
	}
	if len(lines) > height-1 {
		lines = lines[:height-1]
	}
	s.write(home + strings.Join(lines, eraseLine) + eraseLine + eraseRest)
}

// cut shortens a line to a width.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
