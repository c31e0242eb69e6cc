//go:build unix

package run

import (
	"encoding/gob"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An order is what the front wants of the keeper. The end of orders means that the front is
// gone.
type order struct {
	Job    *Job // the first one
	Start  bool // the command
	Front  bool // in front of the terminal
	Cancel bool // the wait for the lock
	Signal int  // for the command
	Heard  bool // the end of the lock was
	Report bool // the end of the lock
}

// A report is what the keeper tells the front. The end of reports means that the keeper is gone.
type report struct {
	Held    bool      // the lock is; the keeper waits for Start
	Group   int       // of the command, which has started
	Until   time.Time // the end of the lock
	Stopped int       // the signal by which the command was
	Resumed int       // how often it had been told to go on by then
	Say     string
	Ended   *Outcome // the command has; the lock is about to be released
	Over    *Outcome // everything is
}

// A link is one end of what connects the two. What it carries is of one program, in package
// gob's form: strings need not be UTF-8, as arguments need not.
type link struct {
	file *os.File
	done chan struct{} // closed when nothing is sent any more

	mu    sync.Mutex
	queue []any
	wake  chan struct{} // holds one; closed after the last one
}

// newLink takes over a descriptor.
func newLink(fd int) *link {
	unix.CloseOnExec(fd)
	_ = unix.SetNonblock(fd, true) // else a read takes a thread
	l := &link{file: os.NewFile(uintptr(fd), "link"), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	go l.write() // ends with the last one, or the process
	return l
}

// send does not wait: the other side may be stopped, and the command must end in time all the
// same. What is sent gets lost if the other side is gone, which it hears as the end of what it
// gets, too.
func (l *link) send(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, v)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sendLast sends the last one and waits until everything is on its way.
func (l *link) sendLast(v any) {
	l.send(v)
	close(l.wake)
	<-l.done
}

func (l *link) write() {
	defer close(l.done)
	out := gob.NewEncoder(l.file)
	for range l.wake {
		l.mu.Lock()
		batch := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, v := range batch {
			_ = out.Encode(v)
		}
	}
}

// receive returns what comes. The channel is closed when the other side is gone.
func receive[T any](l *link) <-chan T {
	ch := make(chan T, 16)
	go func() { // ends with the process
		defer close(ch)
		in := gob.NewDecoder(l.file)
		for {
			var v T
			if in.Decode(&v) != nil {
				return
			}
			ch <- v
		}
	}()
	return ch
}

// newPair returns two connected descriptors, which a program that is started does not inherit.
func newPair() (pair [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(pair[0])
		unix.CloseOnExec(pair[1])
	}
	return pair, err
}
