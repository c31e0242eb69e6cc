package redlock_test

import (
	"errors"
	"fmt"

	"github.com/b0401464/redlock"
)

// A store is what the lock protects. It checks every write.
type store struct {
	fence redlock.Fence
	text  string
}

func (s *store) write(token int64, text string) error {
	if err := s.fence.Admit(token); err != nil {
		return err
	}
	s.text = text
	return nil
}

func ExampleFence() {
	var s store
	fmt.Println(s.write(33, "from the first holder"))
	fmt.Println(s.write(34, "from the second holder"))

	// The first holder was paused, and wakes up after its lock has ended.
	err := s.write(33, "from the first holder again")
	fmt.Println(errors.Is(err, redlock.ErrStaleToken), err)
	fmt.Println(s.text)
	// Output:
	// <nil>
	// <nil>
	// true redlock: stale fencing token: 33 after 34
	// from the second holder
}
