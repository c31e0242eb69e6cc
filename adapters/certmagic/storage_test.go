package certmagiclock_test

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/b0401464/redlock"
	certmagiclock "github.com/b0401464/redlock/adapters/certmagic"
	"github.com/b0401464/redlock/test/rig"
)

const domain = "example.com"

// An issuer issues what f says, without a network.
type issuer func(ctx context.Context) error

func (f issuer) IssuerKey() string { return "test" }

func (f issuer) Issue(ctx context.Context, _ *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := f(ctx); err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: []byte("a certificate")}, nil
}

// newStorage returns the storage of an instance on nodes, with files in dir.
func newStorage(t *testing.T, dir string, nodes []*rig.Node) *certmagiclock.Storage {
	t.Helper()
	s, err := certmagiclock.NewStorage(&certmagic.FileStorage{Path: dir}, rig.NewLocker(t, nodes))
	require.NoError(t, err)
	return s
}

// newConfig returns certmagic, as it is but for its log, on storage.
func newConfig(storage certmagic.Storage, issue issuer) (cfg *certmagic.Config, stop func()) {
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return cfg, nil },
		Logger:           zap.NewNop(),
	})
	cfg = certmagic.New(cache, certmagic.Config{
		Storage: storage, Issuers: []certmagic.Issuer{issue}, Logger: zap.NewNop(),
	})
	return cfg, cache.Stop
}

// certmagicOn returns an instance of certmagic in virtual time.
func certmagicOn(t *testing.T, storage certmagic.Storage, issue issuer) *certmagic.Config {
	t.Helper()
	cfg, stop := newConfig(storage, issue)
	t.Cleanup(stop)
	return cfg
}

func TestTenInstancesObtainACertificateOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		issued := 0
		ended := make(chan error, 10)
		for range cap(ended) {
			cfg := certmagicOn(t, newStorage(t, dir, nodes), func(context.Context) error {
				issued++ // a data race where the lock does not exclude
				time.Sleep(time.Minute)
				return nil
			})
			go func() { ended <- cfg.ObtainCertSync(t.Context(), domain) }()
		}
		for range cap(ended) {
			require.NoError(t, <-ended)
		}
		require.Equal(t, 1, issued)
		requireFree(t, nodes)
	})
}

// An error of RenewLockLease would be repeated, and the certificate not be obtained.
func TestACertificateIsObtainedAlthoughTheLockWasLostBetweenTwoAttempts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		attempts, issued := 0, 0
		one := certmagicOn(t, newStorage(t, dir, nodes), func(context.Context) error {
			if attempts++; attempts == 1 {
				for _, n := range nodes {
					n.FlushAll()
				}
				return errors.New("come again")
			}
			issued++
			return nil
		})
		require.NoError(t, one.ObtainCertAsync(t.Context(), domain))
		require.Equal(t, 2, attempts)
		require.Equal(t, 1, issued)
		requireFree(t, nodes)
	})
}

func TestWhoLostTheLockBetweenTwoAttemptsDoesNotIssueWhatAnotherInstanceHas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		attempts, issued := 0, 0
		one := certmagicOn(t, newStorage(t, dir, nodes), func(context.Context) error {
			attempts++
			return errors.New("come again")
		})
		other := certmagicOn(t, newStorage(t, dir, nodes), func(context.Context) error {
			time.Sleep(5 * time.Minute) // the first one comes again in the middle of it
			issued++
			return nil
		})
		first := start(func() error { return one.ObtainCertAsync(t.Context(), domain) })
		time.Sleep(10 * time.Second)
		second := start(func() error { return other.ObtainCertSync(t.Context(), domain) })
		time.Sleep(10 * time.Second)
		for _, n := range nodes {
			n.FlushAll()
		}
		require.NoError(t, <-first)
		require.NoError(t, <-second)
		assert.Equal(t, 1, attempts)
		assert.Equal(t, 1, issued)
		requireFree(t, nodes)
	})
}

func TestCertmagicCleansUpTheLocksOfTheProcessBeforeItEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		goOn := make(chan struct{})
		end := sync.OnceFunc(func() { close(goOn) })
		t.Cleanup(end)
		cfg := certmagicOn(t, newStorage(t, dir, nodes), func(context.Context) error {
			<-goOn
			return nil
		})
		ended := start(func() error { return cfg.ObtainCertSync(t.Context(), domain) })
		synctest.Wait()
		time.Sleep(time.Second)
		other := newLocker(t, nodes)
		ok, err := other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		certmagic.CleanUpOwnLocks(t.Context(), zap.NewNop())
		time.Sleep(time.Second) // a node that was not needed may be later
		ok, err = other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.True(t, ok)
		end()
		require.NoError(t, <-ended)
		ok, err = newLocker(t, nodes).TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok, "the Unlock of who was cleaned up has released another one")
		require.NoError(t, other.Unlock(t.Context(), name))
	})
}

func TestAStorageHasItsLocksFromRedisAndItsDataFromTheOtherOne(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		files := &certmagic.FileStorage{Path: dir}
		s := newStorage(t, dir, nodes)
		require.NoError(t, s.Store(t.Context(), "a", []byte("b")))
		value, err := files.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "b", string(value))
		require.NoError(t, s.Lock(t.Context(), name))
		synctest.Wait()
		require.True(t, nodes[0].Exists(key))
		require.False(t, files.Exists(t.Context(), "locks"))
		require.NoError(t, s.Unlock(t.Context(), name))
		require.Equal(t, "FileStorage:"+dir+" with locks on Redis", s.String())
		require.NoError(t, certmagic.CleanStorage(t.Context(), s, certmagic.CleanStorageOptions{Logger: zap.NewNop(), ExpiredCerts: true}))
		requireFree(t, nodes)
	})
}

func TestAStorageWithoutANameIsCalledByItsType(t *testing.T) {
	type unnamed struct{ certmagic.Storage }
	synctest.Test(t, func(t *testing.T) {
		s, err := certmagiclock.NewStorage(&unnamed{}, rig.NewLocker(t, rig.New(t, 1)))
		require.NoError(t, err)
		require.Equal(t, "*certmagiclock_test.unnamed with locks on Redis", s.String())
	})
}

func TestOptionsSetWhatTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l, err := certmagiclock.New(rig.NewLocker(t, nodes), certmagiclock.WithTTL(time.Minute), certmagiclock.WithPrefix("eu:"))
		require.NoError(t, err)
		require.NoError(t, l.Lock(t.Context(), name))
		require.Equal(t, []string{"eu:" + name}, nodes[0].Keys())
		require.Equal(t, time.Minute, nodes[0].TTL("eu:"+name))
		require.NoError(t, l.Unlock(t.Context(), name))
	})
}

func TestWhatCannotBeUsedIsAnInvalidArgument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		locker := rig.NewLocker(t, nodes)
		for text, opts := range map[string][]certmagiclock.Option{
			"option 2 is nil":  {certmagiclock.WithPrefix("a"), nil},
			"WithTTL(15ns)":    {certmagiclock.WithTTL(15)},
			"want at least 1s": {certmagiclock.WithTTL(-time.Minute)},
		} {
			_, err := certmagiclock.New(locker, opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument)
			require.ErrorContains(t, err, text)
			_, err = certmagiclock.NewStorage(&certmagic.FileStorage{}, locker, opts...)
			require.ErrorContains(t, err, text)
		}
		_, err := certmagiclock.New(nil)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		_, err = certmagiclock.NewStorage(nil, locker)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)

		for what, l := range map[string]*certmagiclock.Locker{
			"a zero Locker":         {},
			"a zero redlock.Locker": must(t, new(redlock.Locker)),
			"too long a TTL":        must(t, rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(time.Second))),
		} {
			require.ErrorIs(t, l.Lock(t.Context(), name), redlock.ErrInvalidArgument, what)
			_, err = l.TryLock(t.Context(), name)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, what)
			require.ErrorIs(t, l.Unlock(t.Context(), name), redlock.ErrUnlocked, what)
			require.ErrorIs(t, l.RenewLockLease(t.Context(), name, lease), redlock.ErrUnlocked, what)
		}
		require.Empty(t, nodes[0].Keys())
	})
}

func must(t *testing.T, locker *redlock.Locker, opts ...certmagiclock.Option) *certmagiclock.Locker {
	t.Helper()
	l, err := certmagiclock.New(locker, opts...)
	require.NoError(t, err)
	return l
}
