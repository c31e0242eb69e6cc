//go:build unix

package run

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A front is what the user has started: it stands between the shell and the keeper.
type front struct {
	job     *Job
	keeper  *link
	process *os.Process // of the keeper
	reports <-chan report
	signals chan os.Signal
	held    []os.Signal  // heard while we were stopped
	spare   map[int]bool // processes that were there before us
	say     func(string)

	terminal    *terminal
	started     bool           // the keeper was told to
	group       int            // of the command
	interrupted syscall.Signal // while we waited for the lock
	ended       *Outcome       // of the command

	until   time.Time   // the end of the lock
	resumed int         // how often the command was told to go on
	wentOn  time.Time   // when we did last
	asked   bool        // the keeper was, whether the lock ends then
	killed  bool        // the command was, by us
	backup  *time.Timer // kills the command if the keeper does not
}

// Run does a job and returns how it has ended. It may call say with lines for standard error
// meanwhile.
func Run(j *Job, say func(string)) Outcome {
	f := &front{job: j, say: say, terminal: openTerminal(), spare: map[int]bool{}, backup: time.NewTimer(forever)}
	for _, p := range descendants() { // a shell that was replaced by us may have started some
		f.spare[p.pid] = true
	}
	f.listen()
	if err := f.begin(); err != nil {
		return Outcome{Kind: Failed, Text: err.Error()}
	}
	adopt()
	signal.Ignore(syscall.SIGTTOU) // now that the keeper has not inherited it
	f.keeper.send(order{Job: j})
	o := f.loop()
	s := syscall.Signal(o.Signal)
	had := f.terminal.takeBack(f.group, o.Kind == Done && s == 0)
	if had && o.Kind == Done && (s == syscall.SIGINT || s == syscall.SIGQUIT) {
		_ = syscall.Kill(0, s) // typed there, it has not reached the others of our job; we catch it
	}
	return o
}

// listen catches what can be passed on.
func (f *front) listen() {
	f.signals = make(chan os.Signal, 128)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // if nobody reads what we say, we go on
	catch(f.signals)
}

// catch has what can be passed on to the command sent to a channel. What was ignored stays so:
// nohup, or a shell that has started us in the background, wants that.
func catch(ch chan<- os.Signal) {
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		switch s {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGTTOU:
			continue // cannot be, or are our own
		default:
			if !signal.Ignored(s) {
				signal.Notify(ch, s)
			}
		}
	}
}

// begin starts the keeper. It gets its end of the link where that is, so that descriptors of
// ours that the command expects stay where they are.
func (f *front) begin() error {
	path, err := self()
	if err != nil {
		return err
	}
	pair, err := newPair()
	if err != nil {
		return err
	}
	f.keeper = newLink(pair[0])
	defer func() { _ = syscall.Close(pair[1]) }()
	if _, err := unix.FcntlInt(uintptr(pair[1]), unix.F_SETFD, 0); err != nil { // the keeper inherits it
		return err
	}
	cmd := exec.Command(path, append([]string{"keep", strconv.Itoa(pair[1])}, f.job.Keys...)...) //nolint:gosec,noctx // ends with its link
	cmd.Args[0] = "redlock"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	f.process = cmd.Process
	f.reports = receive[report](f.keeper)
	return nil
}

func (f *front) loop() Outcome {
	for {
		for len(f.held) > 0 {
			s := f.held[0]
			f.held = f.held[1:]
			if o := f.hear(s); o != nil {
				return *o
			}
		}
		select {
		case s := <-f.signals:
			f.held = append(f.held, s)
		case r, ok := <-f.reports:
			if !ok {
				return f.orphaned()
			}
			if o := f.learn(r); o != nil {
				return *o
			}
		case <-f.backup.C:
			if o := f.enforce(); o != nil {
				return *o
			}
		}
	}
}

// hear deals with a signal. It returns an outcome if that is the end of the run.
func (f *front) hear(s os.Signal) *Outcome {
	n := s.(syscall.Signal)
	switch {
	case n == syscall.SIGTSTP, n == syscall.SIGTTIN:
		if time.Since(f.wentOn) < stopTakes {
			break // it came before we went on: Go does not keep the order
		}
		f.pass(n)
		f.suspend(n, os.Getpid())
		f.resume()
	case n == syscall.SIGCONT:
		f.resume()
	case f.ended != nil && terminates(n):
		return f.ended // only the release is not done
	case f.started:
		f.pass(n)
	case !terminates(n):
	case f.interrupted != 0:
		return &Outcome{Kind: Interrupted, Signal: int(f.interrupted)} // the keeper tidies up
	default:
		f.interrupted = n
		f.keeper.send(order{Cancel: true})
	}
	return nil
}

// terminates reports whether a signal ends a process that knows nothing of it.
func terminates(s syscall.Signal) bool { return s != syscall.SIGWINCH && s != syscall.SIGCONT }

func (f *front) pass(s syscall.Signal) {
	if f.started {
		f.keeper.send(order{Signal: int(s)})
	}
}

// learn deals with a report. It returns an outcome if that is the end of the run.
func (f *front) learn(r report) *Outcome {
	if r.Say != "" {
		f.say(r.Say)
	}
	if !r.Until.IsZero() {
		f.keeper.send(order{Heard: true})
	}
	if r.Until.After(f.until) {
		f.until, f.asked = r.Until, false
		f.arm()
	}
	switch {
	case r.Held:
		f.agree()
	case r.Group != 0:
		f.group = r.Group
	case r.Stopped != 0:
		if r.Resumed == f.resumed { // else it goes on by now
			f.commandStopped(syscall.Signal(r.Stopped))
		}
	case r.Ended != nil:
		f.ended = r.Ended
		f.backup.Stop()
	case r.Over != nil:
		switch o := r.Over; {
		case o.Kind == Interrupted:
			o.Signal = int(f.interrupted)
		case o.Kind == Done && f.killed:
			*o = f.killedBy(silentKeeper)
		}
		return r.Over
	}
	return nil
}

// agree has the command started, unless a signal came first.
func (f *front) agree() {
	for {
		select {
		case s := <-f.signals:
			f.hear(s)
			continue
		default:
		}
		break
	}
	if f.interrupted != 0 {
		return // the keeper was told
	}
	f.started = true
	inFront := f.terminal.ours() && f.terminal.alone()
	if inFront {
		f.terminal.lent = true
	}
	f.keeper.send(order{Start: true, Front: inFront})
}

// commandStopped stops us, too, if what has stopped the command is the terminal: then the
// shell is to hear of it. Whoever has stopped it otherwise will have it go on.
func (f *front) commandStopped(s syscall.Signal) {
	switch t := f.terminal; {
	case t == nil:
	case t.front() == f.group:
		t.takeBack(f.group, true)
		f.suspend(syscall.SIGTSTP, 0)
		f.resume()
	case s == syscall.SIGTTIN || s == syscall.SIGTTOU:
		if !t.ours() {
			f.suspend(s, 0) // we are in the background
		}
		if t.ours() {
			t.lent = true
		}
		f.resume()
	}
}

// resume has the command go on, in front if it was there before and we are.
func (f *front) resume() {
	f.wentOn = time.Now()
	if !f.started {
		return
	}
	if t := f.terminal; f.group != 0 && t.ours() && t.lent {
		t.give(f.group)
	}
	f.resumed++
	f.pass(syscall.SIGCONT)
}

// stopTakes is within what a process has stopped that has sent itself a signal. One that goes
// on after it is in a group that nobody could have go on, and that the kernel does not stop.
const stopTakes = 100 * time.Millisecond

// Suspend stops this process as its terminal has asked it to, and returns when it goes on.
func Suspend() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCONT)
	defer signal.Stop(signals)
	restore := sendByDefault(os.Getpid(), syscall.SIGTSTP)
	defer restore()
	select {
	case <-signals:
	case <-time.After(stopTakes):
	}
}

// suspend stops us, or with 0 our process group, and returns when we go on.
func (f *front) suspend(s syscall.Signal, pid int) {
	restore := sendByDefault(pid, s)
	defer restore()
	timer := time.NewTimer(stopTakes)
	defer timer.Stop()
	for {
		select {
		case got := <-f.signals:
			if got == syscall.SIGCONT {
				return
			}
			f.held = append(f.held, got)
		case <-timer.C:
			return
		}
	}
}

// arm sets when to see to it that the command has ended. A run that does without the lock has
// no such time.
func (f *front) arm() {
	if f.job.OnLost != Ignore {
		f.backup.Reset(min(max(f.rest(), 0), glance))
	}
}

// rest returns in what time the keeper kills the command, if it does not extend the lock.
func (f *front) rest() time.Duration { return until(f.until, time.Now()) - f.job.margin() }

// enforce kills the command if the keeper, which may have been stopped, has not. It asks first:
// if we were stopped, what the keeper has told meanwhile may not have been read, and there is
// no haste any more. It returns an outcome if the keeper seems to be dead.
func (f *front) enforce() *Outcome {
	switch rest, margin := f.rest(), f.job.margin(); {
	case rest > 0:
		f.arm()
	case !f.asked:
		f.asked = true
		f.keeper.send(order{Report: true})
		patience := margin / 4
		if rest < -margin {
			patience = time.Second
		}
		f.backup.Reset(patience)
	case rest < -givingUp-time.Second && f.killed: // a keeper that answers has given up before
		o := f.killedBy(silentKeeper)
		return &o
	default:
		f.killed = true
		f.killRest()
		f.backup.Reset(poll)
	}
	return nil
}

const silentKeeper = "the process that holds the lock did not answer in time"

// killedBy returns the outcome of a run whose command was killed by us, for a reason.
func (f *front) killedBy(reason string) Outcome {
	what := "the command was killed"
	if anyAlive(f.group, f.spare) {
		what = notKilled
	}
	return Outcome{Kind: Lost, Text: reason + ": " + what}
}

// orphaned ends the command if the keeper has died without a word.
func (f *front) orphaned() Outcome {
	state, _ := f.process.Wait()
	text := fmt.Sprintf("the process that held the lock has ended (%v)", state)
	if f.ended != nil { // what it has left behind is not ours to end
		f.ended.Text = fmt.Sprintf("%s: the lock ends by itself within %v", text, f.job.TTL)
		return *f.ended
	}
	if f.group == 0 {
		return Outcome{Kind: Failed, Text: text}
	}
	for end := time.Now().Add(givingUp); anyAlive(f.group, f.spare) && time.Now().Before(end); time.Sleep(poll) {
		f.killRest()
	}
	return f.killedBy(text)
}

// killRest kills the command without the keeper, which may have reaped it.
func (f *front) killRest() {
	f.spare[f.process.Pid] = true
	signalAll(f.group, true, syscall.SIGKILL, f.spare)
}
