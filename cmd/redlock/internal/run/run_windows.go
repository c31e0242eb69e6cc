package run

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/b0401464/redlock"
)

// Keep is for systems that have signals and process groups.
func Keep(int) bool { return false }

// DieOf is likewise.
func DieOf(int) {}

// Run does a job and returns how it has ended. It may call say with lines for standard error
// meanwhile.
func Run(j *Job, say func(string)) Outcome {
	h, err := newHolder(j)
	if err != nil {
		return Outcome{Kind: Usage, Text: oneLine(err)}
	}
	defer h.tidy(tidyFor)
	// The console signals the command, too. So we hear it only before that runs.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	lock, err := h.acquire(ctx)
	if err != nil {
		o := outcome(err)
		if o.Kind == Interrupted {
			o.Signal = 2
		}
		return o
	}
	o := h.runIn(lock, say)
	lost, text := h.release(lock)
	return o.after(j, lost, text)
}

// runIn runs the command and all that it starts in a job object, which ends with us.
func (h *holder) runIn(lock *redlock.Lock, say func(string)) Outcome {
	j := h.job
	held, stop := lock.Context(context.Background())
	defer stop()
	group, err := newJobObject()
	if err != nil {
		return Outcome{Kind: Failed, Text: err.Error()}
	}
	cmd := exec.Command(j.Path) //nolint:gosec,noctx // the user's; ends with its job object
	cmd.Args, cmd.Env = j.Command, environment(os.Environ(), lock)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return Outcome{Kind: CannotRun, Text: j.Command[0] + ": " + oneLine(err)}
	}
	if err := group.add(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return Outcome{Kind: Failed, Text: err.Error()}
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	w := watch{abrupt: true, margin: j.margin()} // there is nothing to ask it with
	for {
		wait := glance
		if j.OnLost != Ignore {
			var do action
			do, wait = w.next(time.Now(), until(lock.Until(), time.Now()), held.Err() != nil)
			if do == kill {
				say(h.why(context.Cause(held)) + ": the command is killed")
				group.kill()
				<-done
				return Outcome{Kind: Lost}
			}
		}
		select {
		case err := <-done:
			group.release()
			return ended(err)
		case <-time.After(min(wait, glance)):
		}
	}
}

func ended(err error) Outcome {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return Outcome{Kind: Done, Code: e.ExitCode()}
	}
	if err != nil {
		return Outcome{Kind: Failed, Text: oneLine(err)}
	}
	return Outcome{Kind: Done}
}
