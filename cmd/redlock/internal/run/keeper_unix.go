//go:build unix

package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/b0401464/redlock"
)

const (
	poll     = 20 * time.Millisecond // how often one looks whether a command that ends has ended
	givingUp = 10 * time.Second      // after KILL: a process that cannot be killed is left alone

	notKilled = "the command, or what it has started, could not be killed and goes on"
)

// A keeper holds the lock of a job and runs its command.
type keeper struct {
	job      *Job
	front    *link
	orders   <-chan order // nil once the front is gone
	holder   *holder
	lock     *redlock.Lock
	held     context.Context //nolint:containedctx // ends with the lock
	children chan os.Signal  // some of them have ended or stopped
	watch    watch

	group     int // of the command, and its process
	status    syscall.WaitStatus
	exited    bool // the command itself has; others of its group may not
	resumed   int  // how often it was told to go on
	abandoned bool // the front is gone
	noticed   bool // the lock is over
	ended     bool // the command is to end because of it
	killed    time.Time
	until     time.Time // the end of the lock
	telling   bool      // the front was told another one, and has not heard it yet
	told      time.Time // which
}

// Keep is the keeper's process, connected to its front by a descriptor. It returns false if
// that is none of a front.
func Keep(fd int) bool {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil || s.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	// What ends with the thread that has started it is the command.
	runtime.LockOSThread()
	shieldFromSignals()
	adopt()
	l := newLink(fd)
	k := &keeper{front: l, orders: receive[order](l), children: make(chan os.Signal, 1)}
	signal.Notify(k.children, syscall.SIGCHLD)
	first, ok := <-k.orders
	if !ok || first.Job == nil {
		return true
	}
	k.job = first.Job
	k.watch = watch{abrupt: k.job.OnLost == Kill, grace: k.job.Grace, margin: k.job.margin()}
	o := k.run()
	if k.holder != nil {
		k.holder.tidy(k.job.briefly())
	}
	l.sendLast(report{Over: &o})
	if k.holder != nil {
		letGo() // nobody waits for the end of our output
		k.holder.tidy(tidyFor)
	}
	return true
}

// shieldFromSignals has those not end the keeper which the front hears, too, and passes on:
// some send them to all processes of a service. They are caught rather than ignored, as the
// command would inherit that.
func shieldFromSignals() { catch(make(chan os.Signal, 1)) }

// letGo closes what we have of the command's input and output.
func letGo() {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	for fd := range 3 {
		_ = unix.Dup2(null, fd)
	}
}

func (k *keeper) run() Outcome {
	h, err := newHolder(k.job)
	if err != nil {
		return Outcome{Kind: Usage, Text: oneLine(err)}
	}
	k.holder = h
	if err := k.acquire(); err != nil {
		return outcome(err)
	}
	var stop context.CancelFunc
	k.held, stop = k.lock.Context(context.Background())
	defer stop()
	o := k.start()
	if o.Kind == Done {
		o = k.supervise()
		k.front.send(report{Ended: &o})
	}
	lost, text := h.release(k.lock)
	return o.after(k.job, lost, text)
}

// acquire waits for the lock, until the front has heard a signal or is gone.
func (k *keeper) acquire() (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.lock, err = k.holder.acquire(ctx)
	}()
	select {
	case <-done:
	case <-k.orders: // to cancel, or none any more
		cancel()
		<-done // at once
		if err == nil {
			_, _ = k.holder.release(k.lock)
			err = ctx.Err()
		}
	}
	return err
}

// start starts the command once the front has agreed, which may have heard a signal meanwhile.
func (k *keeper) start() Outcome {
	k.front.send(report{Held: true})
	var o order
	select {
	case o = <-k.orders:
	case <-k.held.Done():
		return k.lostEarly()
	}
	switch {
	case !o.Start:
		return Outcome{Kind: Interrupted}
	case k.held.Err() != nil: // we were stopped
		return k.lostEarly()
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(attr)
	if o.Front {
		tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == nil {
			attr.Foreground, attr.Ctty = true, tty
			defer func() { _ = unix.Close(tty) }()
		}
	}
	p, err := os.StartProcess(k.job.Path, k.job.Command, &os.ProcAttr{
		Env: environment(os.Environ(), k.lock), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: attr,
	})
	if err != nil {
		return cannotStart(k.job.Command[0], err)
	}
	k.group = p.Pid
	_ = p.Release() // reap waits for it, as for all children
	k.front.send(report{Group: k.group})
	return Outcome{Kind: Done}
}

func (k *keeper) lostEarly() Outcome {
	return Outcome{Kind: Lost, Text: "before the command was started: " + k.holder.why(context.Cause(k.held))}
}

func cannotStart(name string, err error) Outcome {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	kind := CannotRun
	if errors.Is(err, os.ErrNotExist) {
		kind = NotFound
	}
	return Outcome{Kind: kind, Text: fmt.Sprintf("%s: %v", name, err)}
}

// supervise returns when the command has ended and, if it was to end, all that it has started.
func (k *keeper) supervise() Outcome {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		k.reap()
		do, wait := k.due()
		k.do(do)
		if k.finished() {
			return k.end()
		}
		timer.Reset(wait)
		select {
		case o, ok := <-k.orders:
			k.obey(o, ok)
		case <-k.children:
		case <-k.lost():
			k.noticed = true
			if k.job.OnLost == Ignore {
				k.front.send(report{Say: k.holder.why(context.Cause(k.held)) + ": the command goes on without the lock"})
			}
		case <-timer.C:
		}
	}
}

// lost ends the wait for it, once.
func (k *keeper) lost() <-chan struct{} {
	if k.noticed {
		return nil
	}
	return k.held.Done()
}

// due returns what is to be done to the command.
func (k *keeper) due() (action, time.Duration) {
	now, lasts, end := time.Now(), forever, k.abandoned
	if k.job.OnLost != Ignore {
		end = end || k.held.Err() != nil // looks at the clocks
		k.tellUntil()
		lasts = until(k.until, now)
	}
	if k.exited && !k.watch.asked {
		return nothing, glance // what it has left behind is not ours to end
	}
	do, wait := k.watch.next(now, lasts, end)
	if do == kill || k.exited {
		return do, poll
	}
	return do, min(max(wait, time.Millisecond), glance)
}

// tellUntil lets the front know that the lock was extended, if it has heard what it was told
// before: one that is stopped for a month is not told of each.
func (k *keeper) tellUntil() {
	k.until = k.lock.Until()
	if !k.telling && !k.until.Equal(k.told) {
		k.telling, k.told = true, k.until
		k.front.send(report{Until: k.until})
	}
}

func (k *keeper) do(a action) {
	switch a {
	case nothing:
		return
	case ask:
		k.tell("TERM to the command")
		signalAll(k.group, k.exited, syscall.SIGTERM, nil)
		signalAll(k.group, k.exited, syscall.SIGCONT, nil) // it may be stopped
	case kill:
		if k.killed.IsZero() {
			k.killed = time.Now()
			k.tell("KILL to the command")
		}
		k.watch.asked = true
		signalAll(k.group, k.exited, syscall.SIGKILL, nil)
	}
}

// tell tells what is done to the command, and why, once.
func (k *keeper) tell(what string) {
	if !k.ended && !k.abandoned {
		k.front.send(report{Say: k.holder.why(context.Cause(k.held)) + ": " + what})
	}
	k.ended = true
}

// obey does what the front wants, or what follows if it is gone.
func (k *keeper) obey(o order, ok bool) {
	switch {
	case !ok:
		k.orders, k.abandoned = nil, true
	case o.Heard:
		k.telling = false
	case o.Report:
		k.front.send(report{Until: k.lock.Until()})
	case o.Signal != 0:
		if syscall.Signal(o.Signal) == syscall.SIGCONT {
			k.resumed++
		}
		if !k.exited {
			_ = syscall.Kill(-k.group, syscall.Signal(o.Signal)) // fails if it is about to be reaped
		}
	}
}

// reap takes note of children that have ended or stopped: the command, and what has lost its
// parent. Signals are sent from the same goroutine, so none of them goes to a process that
// was reaped before.
func (k *keeper) reap() {
	for {
		var s syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &s, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || pid <= 0:
			return
		case pid != k.group:
		case s.Stopped():
			k.front.send(report{Stopped: int(s.StopSignal()), Resumed: k.resumed})
		default:
			k.status, k.exited = s, true
		}
	}
}

// finished reports whether nothing is left that is to end, or that can be ended.
func (k *keeper) finished() bool {
	if !k.killed.IsZero() && time.Since(k.killed) > givingUp && !k.lock.Valid() {
		return true
	}
	return k.exited && (!k.watch.asked || !anyAlive(k.group, nil))
}

// end returns how the command has ended.
func (k *keeper) end() Outcome {
	o := Outcome{Kind: Done, Code: k.status.ExitStatus()}
	if k.status.Signaled() {
		o.Code, o.Signal = 128+int(k.status.Signal()), int(k.status.Signal())
	}
	if k.ended {
		o.Kind = Lost
		if !k.exited || anyAlive(k.group, nil) {
			o.Text = notKilled
		}
	}
	return o
}
