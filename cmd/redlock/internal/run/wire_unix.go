//go:build unix

package run

import (
	"encoding/gob"
	"os"
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
	out  *gob.Encoder
}

// newLink takes over a descriptor.
func newLink(fd int) *link {
	unix.CloseOnExec(fd)
	_ = unix.SetNonblock(fd, true) // else a read takes a thread
	f := os.NewFile(uintptr(fd), "link")
	return &link{f, gob.NewEncoder(f)}
}

// send fails if the other side is gone, which it hears as the end of what it gets, too.
func (l *link) send(v any) { _ = l.out.Encode(v) }

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
