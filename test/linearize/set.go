package linearize

import (
	"net"
	"net/rpc"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// Sets are what workloads write to: sets that are read and written as a whole, so that an
// element is lost where two who add to one have not excluded each other. They are served to
// all processes by that of the test, which nothing happens to.
type Sets struct {
	mu   sync.Mutex
	sets map[string]*set
}

type set struct {
	elements []string
	fence    redlock.Fence
}

// A SetRequest is one to read or to write a set.
type SetRequest struct {
	Name     string
	Token    int64    // of the lock; the set is guarded if it is not 0
	Elements []string // to write
}

// ServeSets serves new Sets until tb ends.
func ServeSets(tb testing.TB) (s *Sets, addr string) {
	tb.Helper()
	s = &Sets{sets: make(map[string]*set)}
	server := rpc.NewServer()
	require.NoError(tb, server.Register(s))
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = l.Close() }) // connections end with their processes
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(conn)
		}
	}()
	return s, l.Addr().String()
}

// Read returns the elements of a set. A guarded one admits the token first: who comes with
// an earlier one cannot write any more from then on.
func (s *Sets) Read(in SetRequest, elements *[]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.admit(&in)
	if err != nil {
		return err
	}
	*elements = slices.Clone(t.elements)
	return nil
}

// Write replaces the elements of a set.
func (s *Sets) Write(in SetRequest, done *bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.admit(&in)
	if err != nil {
		return err
	}
	t.elements, *done = in.Elements, true
	return nil
}

func (s *Sets) admit(in *SetRequest) (*set, error) {
	t := s.sets[in.Name]
	if t == nil {
		t = new(set)
		s.sets[in.Name] = t
	}
	if in.Token == 0 {
		return t, nil
	}
	return t, t.fence.Admit(in.Token)
}

// has reports whether an element is in any set.
func (s *Sets) has(element string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.sets {
		if slices.Contains(t.elements, element) {
			return true
		}
	}
	return false
}
