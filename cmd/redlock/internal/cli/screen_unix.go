//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/b0401464/redlock/cmd/redlock/internal/run"
)

func notifyScreen(ch chan os.Signal) { signal.Notify(ch, syscall.SIGTSTP, syscall.SIGWINCH) }

// obey leaves the terminal to the shell while we are stopped. What is drawn next has the size
// of the terminal.
func (s *screen) obey(sig os.Signal) {
	if sig == syscall.SIGTSTP {
		s.write(leave)
		run.Suspend()
		s.write(enter)
	}
}
