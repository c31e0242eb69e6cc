package redlock_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

func TestNodesBehindMutualTLSGrantExtendReleaseAndExclude(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3, redistest.WithTLS(redistest.NewAuthority(t)))
	var log realLog
	l, other := rig.locker(t, log.option()), rig.other(t)
	err := l.With(t.Context(), "k", 3*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
		drainCalls(t, l)
		for _, c := range rig.direct {
			require.Equal(t, lock.Value(), c.Get(ctx, "k").Val())
		}
		_, err := other.TryLock(ctx, "k", realTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Extend(ctx, 3*time.Second))
		first := lock.Until()
		require.True(t, poll(realPatience, func() bool { return lock.Until().After(first) || ctx.Err() != nil }))
		return context.Cause(ctx)
	}, func(err error) { require.NoError(t, err) }, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	lockOnce(t, other, "k")
	drain(t, l)
	drain(t, other)
	require.Empty(t, log.take(0))
	rig.requireEmpty(t, realTTL/3)
}

func TestNodeThatIsNotTrustedIsNamedWithTheReason(t *testing.T) {
	t.Parallel()
	authority := redistest.NewAuthority(t)
	stranger := redistest.NewAuthority(t).Config()
	nameless := authority.Config()
	nameless.Certificates = nil
	rig := newRealRig(t, 3, redistest.WithTLS(authority))
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
			wait := redlock.WithNodeTimeout(realPatience)

			l := newRealLocker(t, rig.newClients(t, setConfig), wait)
			begun := time.Now()
			_, err := l.TryLock(t.Context(), "k", 2*realPatience)
			t.Logf("after %v: %v", time.Since(begun), err)
			requireOfNode(t, err)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			require.GreaterOrEqual(t, len(e.Nodes), 2)
			for _, n := range e.Nodes {
				require.Equal(t, rig.servers[n.Node].Addr(), n.Addr)
				require.ErrorContains(t, n, n.Addr)
				require.ErrorContains(t, n, tt.reason)
				if tt.kind != "" {
					require.Equal(t, tt.kind, n.ErrorType())
				}
			}

			// On a minority it costs the caller nothing, and is reported.
			clients := rig.newClients(t)
			clients[1] = rig.servers[1].Client(t, setConfig)
			var log realLog
			one := newRealLocker(t, clients, wait, log.option())
			lockOnce(t, one, "with one node that is not trusted, "+tt.name)
			for _, n := range log.take(1) {
				require.Equal(t, 1, n.Node)
				require.Equal(t, rig.servers[1].Addr(), n.Addr)
				require.ErrorContains(t, n, tt.reason)
			}
			drain(t, l)
			drain(t, one)
		})
	}
}
