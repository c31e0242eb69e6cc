package servers

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// errPortTaken reports that the server could not listen on its port.
var errPortTaken = errors.New("port taken")

// A process is a running server program. It does not change once launched.
type process struct {
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the process has been waited for
}

// launch runs program and returns without waiting until it is ready.
//
// The goroutine that starts the process stays on its thread until the process
// has ended. Linux sends the signal for the parent's death when the thread
// that forked ends, not when the whole parent does: without the lock, the Go
// runtime could end that thread in the middle of a test, and the server would
// be killed with it. One thread per server is cheaper than a launcher that
// lives for ever and shows up in every leak check.
func launch(program string, args []string, dir string) (*process, error) {
	p := &process{
		cmd:     exec.Command(program, args...), //nolint:gosec,noctx // the test's own program; kill ends it
		logFile: filepath.Join(dir, "server.log"),
		done:    make(chan struct{}),
	}
	log, err := os.Create(p.logFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()

	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // killed, or the reason is in the log
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process and waits until it is gone. A stopped process obeys
// too.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended by itself
	<-p.done
}

// log returns what the process has printed.
func (p *process) log() string {
	b, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// waitReady waits until the process answers on addr, through TLS if secure is
// not nil. The error matches errPortTaken if it never will because somebody
// else has the port.
func (p *process) waitReady(addr string, secure *tls.Config, deadline time.Time) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := p.probe(addr, secure)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s on %s is not ready: %w", p.cmd.Path, addr, err)
		}
		select {
		case <-p.done:
			if strings.Contains(p.log(), "Address already in use") {
				return fmt.Errorf("%s: %w", addr, errPortTaken)
			}
			return fmt.Errorf("%s on %s ended by itself: %v", p.cmd.Path, addr, p.cmd.ProcessState)
		case <-tick.C:
		}
	}
}

// probe returns nil if this very process answers on addr. Another server on
// the same port, which got there first, answers a PING just as well.
func (p *process) probe(addr string, secure *tls.Config) error {
	conn, err := net.DialTimeout("tcp4", addr, time.Second) //nolint:noctx // has a deadline of its own
	if err != nil {
		return err
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	defer func() { _ = conn.Close() }() // only read from
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	pong, err := r.ReadString('\n')
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(pong, "-NOAUTH"):
		return nil // ready, and has a password, so there is no asking for more
	case !strings.HasPrefix(pong, "+PONG"):
		return fmt.Errorf("PING was answered %q", pong)
	}

	if _, err := io.WriteString(conn, "INFO server\r\n"); err != nil {
		return err
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if pid, ok := strings.CutPrefix(line, "process_id:"); ok {
			if strings.TrimSpace(pid) != strconv.Itoa(p.pid()) {
				return errors.New("another process answers")
			}
			return nil
		}
	}
}
