package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/b0401464/redlock"
)

// A ledger is what the lock protects. It looks at every write.
type ledger struct {
	fence redlock.Fence
	text  string
}

func (l *ledger) write(token int64, text string) error {
	if err := l.fence.Admit(token); err != nil {
		return err
	}
	l.text = text
	return nil
}

func ExampleFence() {
	var l ledger
	fmt.Println(l.write(33, "from the first holder"))
	fmt.Println(l.write(34, "from the second holder"))

	// The first holder was paused, and wakes up after its lock has ended.
	err := l.write(33, "from the first holder again")
	fmt.Println(errors.Is(err, redlock.ErrStaleToken), err)
	fmt.Println(l.text)
	// Output:
	// <nil>
	// <nil>
	// true redlock: stale fencing token: 33 after 34
	// from the second holder
}

func ExampleWithFencing() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()
	var l ledger

	err := locker.With(ctx, "ledger:7", 10*time.Second, func(_ context.Context, lock *redlock.Lock) error {
		return l.write(lock.Token(), "paid") // refused if a later holder has written
	}, nil, redlock.WithFencing(24*time.Hour))

	fmt.Println(l.text, err)
	// Output: paid <nil>
}
