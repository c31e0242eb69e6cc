//go:build linux

package linearize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/faultproxy"
)

// A worker is a process that locks, one after the other as it is killed, and its ways to the
// nodes, which it shares with nobody.
type worker struct {
	tb    testing.TB
	ways  []*faultproxy.Proxy
	dir   string // for what it writes
	load  *workload
	seed  uint64
	index int

	mu     sync.Mutex // held to change what follows
	starts int
	proc   *process // nil while there is none
}

// A process is one of a worker. The goroutine that starts it stays on its thread until it has
// ended: the kernel kills the process when that thread ends.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	err   error         // of the process, once done is closed
	done  chan struct{} // closed when it has been waited for
	out   bytes.Buffer
}

// start starts a process of the worker.
func (w *worker) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts++
	j := job{
		Name: fmt.Sprintf("w%d.%d", w.index, w.starts), Seed: w.seed<<8 + uint64(w.starts), Ready: w.index%2 == 1, Load: w.load, //nolint:gosec // counts few
	}
	j.File = filepath.Join(w.dir, j.Name+eventFile)
	for _, way := range w.ways {
		j.Addrs = append(j.Addrs, way.Addr())
	}
	p, err := launch(&j)
	if err != nil {
		w.tb.Errorf("linearize: %v", err)
		return
	}
	w.proc = p
}

func launch(j *job) (*process, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(os.Args[0]), done: make(chan struct{})} //nolint:gosec,noctx // itself; end ends it
	p.cmd.Env = append(os.Environ(), envWorker+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	return p, <-started
}

// signal sends a signal to the process of the worker, if there is one.
func (w *worker) signal(s syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc != nil {
		_ = w.proc.cmd.Process.Signal(s) // it may have ended by itself, which end tells
	}
}

func (w *worker) stop() { w.signal(syscall.SIGSTOP) }

func (w *worker) resume() { w.signal(syscall.SIGCONT) }

// kill ends the process at once, stopped or not.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc == nil {
		return
	}
	_ = w.died()
	_ = w.proc.cmd.Process.Kill()
	<-w.proc.done
	w.proc = nil
}

// died reports whether the process has ended by itself, which fails the test.
func (w *worker) died() bool {
	select {
	case <-w.proc.done:
		w.tb.Errorf("linearize: worker %d has ended by itself: %v\n%s", w.index, w.proc.err, beginning(w.proc.out.String()))
		return true
	default:
		return false
	}
}

// finish has the worker end its calls, and waits for that. One that does not come to an end
// is killed, as one more fault.
func (w *worker) finish(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc == nil {
		return
	}
	if w.died() {
		w.proc = nil
		return
	}
	_ = w.proc.stdin.Close()
	select {
	case <-w.proc.done:
		if w.proc.err != nil {
			w.tb.Errorf("linearize: worker %d: %v\n%s", w.index, w.proc.err, beginning(w.proc.out.String()))
		}
	case <-time.After(patience):
		_ = w.proc.cmd.Process.Kill()
		<-w.proc.done
	}
	w.proc = nil
}

// beginning returns that of what a process has printed, where a panic tells why.
func beginning(text string) string { return text[:min(len(text), 4000)] }
