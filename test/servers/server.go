package servers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	startTimeout = 30 * time.Second // generous: all cores may be busy with other tests
	stateTimeout = 30 * time.Second
	pollInterval = 5 * time.Millisecond
)

// A Server is one redis-server process with an address of its own, which it
// keeps across restarts.
//
// It is safe for concurrent use. Its methods mark the test as failed when they
// can't do what they say, but do not end it, so they may be called from any
// goroutine of the test.
type Server struct {
	tb      testing.TB
	program string
	config  config
	dir     string

	mu   sync.Mutex // held during every change of the process
	port int
	proc *process // nil before the first start and after Kill
}

// Addr returns the server's address, "127.0.0.1:port".
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr()
}

// Client returns a client of s which is closed when tb ends. Its options are
// the defaults of go-redis but for the address, for what [WithTLS] asks for and
// for maintenance notifications, which are off; each of opts may change them.
func (s *Server) Client(tb testing.TB, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := &redis.Options{
		Addr:                     s.Addr(),
		TLSConfig:                s.config.tls,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	for _, opt := range opts {
		opt(o)
	}
	c := redis.NewClient(o)
	tb.Cleanup(func() { _ = c.Close() }) // the test may have closed it already
	return c
}

// Freeze stops the process without ending it, as a long pause of its machine
// would: connections stay open, new ones are accepted by the kernel, nothing
// is answered and keys do not expire until [Server.Thaw]. It returns once the
// process has stopped.
func (s *Server) Freeze() { s.pause("Freeze", suspend, true) }

// Thaw lets a frozen process go on. It then answers what it received while it
// was frozen.
func (s *Server) Thaw() { s.pause("Thaw", resume, false) }

// Kill ends the process as a crash would, frozen or not, and returns once it
// is gone. It does nothing if there is none.
//
// A frozen process is not resumed first: it would answer what it received in
// the meantime before it died.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

// Restart kills the process if there is one, starts another on the same
// address and returns once that answers. It is empty unless the server was
// started [WithAppendOnly].
func (s *Server) Restart() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(pollInterval) {
		err := s.start()
		if err == nil {
			return
		}
		// Somebody else's connection may hold the port for a moment.
		if !errors.Is(err, errPortTaken) || time.Now().After(deadline) {
			s.tb.Errorf("servers: Restart: %v", err)
			return
		}
	}
}

// startAnywhere starts the first process of s on a port that is free.
func (s *Server) startAnywhere() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for deadline := time.Now().Add(startTimeout); ; {
		port, err := freePort()
		if err != nil {
			return err
		}
		if s.config.cluster && port > maxClusterPort && time.Now().Before(deadline) {
			continue
		}
		s.port = port
		// Between freePort and the server's own bind anybody can take the port.
		if err := s.start(); !errors.Is(err, errPortTaken) || time.Now().After(deadline) {
			return err
		}
	}
}

// start runs the process on s.port. The caller holds mu.
func (s *Server) start() error {
	p, err := launch(s.program, s.commandLine(), s.dir)
	if err != nil {
		return err
	}
	if err := p.waitReady(s.addr(), s.config.tls, time.Now().Add(startTimeout)); err != nil {
		p.kill()
		return fmt.Errorf("%w\n%s", err, p.log())
	}
	s.proc = p
	return nil
}

// commandLine returns the arguments of the process. The caller holds mu.
func (s *Server) commandLine() []string {
	port := strconv.Itoa(s.port)
	args := []string{"--port", port, "--dir", s.dir}
	switch {
	case s.config.sentinel:
		args = append([]string{filepath.Join(s.dir, sentinelFile), "--sentinel"}, args...)
	case s.config.tls != nil:
		args = append(args, "--port", "0", "--tls-port", port)
	}
	return append(args, s.config.args...)
}

// kill ends the process, if there is one. The caller holds mu.
func (s *Server) kill() {
	if s.proc != nil {
		s.proc.kill()
		s.proc = nil
	}
}

// pause sends a signal to the process and waits for its effect.
func (s *Server) pause(op string, signal func(*os.Process) error, stop bool) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		s.tb.Errorf("servers: %s: the server is not running", op)
		return
	}
	if err := signal(s.proc.cmd.Process); err != nil {
		s.tb.Errorf("servers: %s: %v", op, err)
		return
	}
	for deadline := time.Now().Add(stateTimeout); ; time.Sleep(pollInterval) {
		got, err := stopped(s.proc.pid())
		switch {
		case err != nil:
			s.tb.Errorf("servers: %s: %v", op, err)
			return
		case got == stop:
			return
		case time.Now().After(deadline):
			s.tb.Errorf("servers: %s: no effect after %v", op, stateTimeout)
			return
		}
	}
}

// addr is Addr for callers that hold mu.
func (s *Server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // nothing was accepted, nothing can be lost
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
