package errors_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A nodeLog counts what a handler of node errors is told.
type nodeLog struct {
	mu   sync.Mutex
	told map[string]int // by node, operation and type of the error
}

func (l *nodeLog) option() redlock.Option {
	return redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.told == nil {
			l.told = make(map[string]int)
		}
		l.told[fmt.Sprintf("%d %s %s", err.Node-1, err.Op, err.ErrorType())]++
	})
}

// take returns what was told since it was last called.
func (l *nodeLog) take() map[string]int {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

func TestANodeIsToldOfWhenACallGivesUpWaitingForIt(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		var heard nodeLog
		m, nodes := rig.NewMeter(), rig.New(t, 3)
		l := rig.NewLocker(t, nodes, append(opts, heard.option(), m.Option(), redlock.WithRetry(0, 0))...)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		late := int64(0)
		for op, call := range map[redlock.Op]func() error{
			redlock.OpAcquire: func() error { _, err := l.TryLock(t.Context(), "b", time.Minute); return err },
			redlock.OpExtend:  func() error { return k.Extend(t.Context(), time.Minute) },
			redlock.OpRelease: func() error { return k.Unlock(t.Context()) },
		} {
			require.Empty(t, heard.take())
			nodes[0].Freeze()
			nodes[1].Freeze()
			start := time.Now()
			require.ErrorIs(t, call(), redlock.ErrNoQuorum)
			told := heard.take()
			assert.Equal(t, map[string]int{fmt.Sprintf("0 %s no_answer", op): 1, fmt.Sprintf("1 %s no_answer", op): 1}, told)
			assert.Equal(t, time.Second, time.Since(start))
			time.Sleep(time.Second)
			nodes[0].Thaw()
			nodes[1].Thaw()
			time.Sleep(time.Second)
			assert.Empty(t, heard.take(), "it has answered, only late")
			late += 2
			got := int64(0)
			for _, n := range m.Values(t, "redlock.node.late_replies", "server.address") {
				got += n
			}
			assert.Equal(t, late, got)
			if op == redlock.OpRelease {
				k, err = l.Lock(t.Context(), "a", time.Minute)
				require.NoError(t, err)
				synctest.Wait()
			}
		}
	})
}

func TestANodeIsToldOfOnceForEachCommandHoweverTheClientReturns(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, append(opts, heard.option(), redlock.WithRetry(0, 0))...)
		rig.WarmUp(t, l)
		nodes[0].Freeze()
		nodes[1].Freeze()
		_, err := l.TryLock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Equal(t, map[string]int{"0 acquire no_answer": 1, "1 acquire no_answer": 1}, heard.take())
		time.Sleep(5 * time.Minute) // the client gives up
		assert.Equal(t, map[string]int{"0 release timeout": 1, "1 release timeout": 1}, heard.take(), "nobody has waited for that")
	})
}

func TestASilentNodeIsToldOfByCallsThatDoNotWaitForIt(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, append(opts, heard.option())...)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		first, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		time.Sleep(500 * time.Millisecond)
		other, err := l.Lock(t.Context(), "b", time.Minute)
		require.NoError(t, err)
		require.Empty(t, heard.take(), "it may answer in time")
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, first.Extend(t.Context(), time.Minute))
		assert.Equal(t, map[string]int{"2 extend no_answer": 1}, heard.take(), "which is not even sent")
		require.NoError(t, other.Unlock(t.Context()))
		assert.Equal(t, map[string]int{"2 release no_answer": 1}, heard.take())
		_, err = l.Lock(t.Context(), "c", time.Second)
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"2 acquire no_answer": 1}, heard.take())
		time.Sleep(5 * time.Minute)
		told := heard.take()
		maps.DeleteFunc(told, func(text string, _ int) bool { return strings.Contains(text, "release") })
		assert.Equal(t, map[string]int{"2 acquire timeout": 2}, told, "of the first two calls")
	})
}

func TestASilentNodeIsToldOfByAutomaticExtension(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, append(opts, heard.option(), redlock.WithAutoExtend(redlock.Forever))...)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", 3*time.Second)
		require.NoError(t, err)
		synctest.Wait()
		nodes[2].Freeze()
		time.Sleep(2 * time.Second)
		require.Contains(t, heard.take(), "2 extend no_answer", "while the first one waits for its answer yet")
		nodes[2].Thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestANodeThatAnswersWithinTheNodeTimeoutIsNotToldOf(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, append(opts, heard.option())...)
		rig.WarmUp(t, l)
		nodes[2].Slow(900 * time.Millisecond)
		for range 3 {
			k := rig.Lock(t, l)
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			time.Sleep(2 * time.Second)
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			time.Sleep(2 * time.Second)
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(2 * time.Second)
		}
		assert.Empty(t, heard.take())
	})
}

func TestAClientThatDoesNotReturnIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard nodeLog
		m, nodes := rig.NewMeter(), rig.New(t, 2)
		l, err := redlock.New([]redlock.Client{nodes[0].Client, nodes[1].Client, &rig.Quitter{}}, m.Option(), heard.option())
		require.NoError(t, err)
		k, err := l.TryLock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		synctest.Wait()
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
		told := heard.take()
		assert.Len(t, told, 3)
		assert.Equal(t, []int{1, 1, 1}, slices.Collect(maps.Values(told)), "%v", told)
		assert.Equal(t, map[string]int64{"3": 3}, m.Values(t, "redlock.node.errors", "redlock.node.number"))
	})
}
