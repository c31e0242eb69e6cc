package deployments_test

import (
	"context"
	"crypto/tls"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func TestNodesBehindMutualTLSGrantExtendReleaseAndExclude(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3, servers.WithTLS(servers.NewAuthority(t)))
	var log rig.ErrorLog
	l, other := on.Locker(t, log.Option()), on.Other(t)
	err := l.With(t.Context(), "k", 6*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			require.Equal(t, lock.Value(), c.Get(ctx, "k").Val())
		}
		_, err := other.TryLock(ctx, "k", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Extend(ctx, 6*time.Second))
		first := lock.Until()
		require.True(t, rig.Poll(rig.Patience, func() bool { return lock.Until().After(first) || ctx.Err() != nil }))
		return context.Cause(ctx)
	}, func(err error) { require.NoError(t, err) }, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	rig.LockOnce(t, other, "k")
	rig.Drain(t, l)
	rig.Drain(t, other)
	require.Empty(t, log.Take(0))
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestNodeThatIsNotTrustedIsNamedWithTheReason(t *testing.T) {
	t.Parallel()
	authority := servers.NewAuthority(t)
	stranger := servers.NewAuthority(t).Config()
	nameless := authority.Config()
	nameless.Certificates = nil
	on := rig.NewReal(t, 3, servers.WithTLS(authority))
	for _, tt := range []struct {
		name   string
		config *tls.Config
		reason string
		kind   string
	}{
		{"the client trusts another authority", stranger, "signed by unknown authority", "x509.UnknownAuthorityError"},
		{"the client shows no certificate", nameless, "certificate required", "tls.alert"},
		{"the client does not speak TLS", nil, "", ""}, // the server hangs up, one way or another
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			setConfig := func(o *redis.Options) { o.TLSConfig = tt.config }
			// The reason comes with the answer, and go-redis tries for seconds.
			wait := redlock.WithNodeTimeout(rig.Patience)

			l := rig.NewRealLocker(t, on.NewClients(t, setConfig), wait)
			var err error
			require.True(t, rig.Poll(rig.Patience, func() bool {
				begun := time.Now()
				_, err = l.TryLock(t.Context(), "k", 2*rig.Patience)
				t.Logf("after %v: %v", time.Since(begun), err)
				return tt.reason == "" || !hungUp(err)
			}))
			rig.RequireOfNode(t, err)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			require.GreaterOrEqual(t, len(e.Nodes), 2)
			for _, n := range e.Nodes {
				require.Equal(t, on.Servers[n.Node-1].Addr(), n.Addr)
				require.ErrorContains(t, n, n.Addr)
				require.ErrorContains(t, n, tt.reason)
				if tt.kind != "" {
					require.Equal(t, tt.kind, n.ErrorType())
				}
			}

			// On a minority it costs the caller nothing, and is reported.
			clients := on.NewClients(t)
			clients[1] = on.Servers[1].Client(t, setConfig)
			var log rig.ErrorLog
			one := rig.NewRealLocker(t, clients, wait, log.Option())
			rig.LockOnce(t, one, "with one node that is not trusted, "+tt.name)
			for _, n := range log.Take(1) {
				require.Equal(t, 2, n.Node)
				require.Equal(t, on.Servers[1].Addr(), n.Addr)
				if !hungUp(n) {
					require.ErrorContains(t, n, tt.reason)
				}
			}
			rig.Drain(t, l)
			rig.Drain(t, one)
		})
	}
}

// hungUp reports whether a client has written when the server had hung up: then it may not read
// the reason any more.
func hungUp(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
