package servers_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestServersSpeakTLSOnlyAndOnlyToThoseTheyTrust(t *testing.T) {
	t.Parallel()
	authority := servers.NewAuthority(t)
	for _, s := range servers.Start(t, 2, servers.WithTLS(authority)) {
		require.NoError(t, s.Client(t).Ping(t.Context()).Err())
		require.Error(t, s.Client(t, inTheClear, once).Ping(t.Context()).Err())
		require.ErrorContains(t, s.Client(t, func(o *redis.Options) {
			o.TLSConfig = servers.NewAuthority(t).Config()
		}, once).Ping(t.Context()).Err(), "unknown authority")
		require.ErrorContains(t, readWithoutCertificate(t, s.Addr(), authority), "certificate required")
		s.Restart()
		require.NoError(t, s.Client(t).Ping(t.Context()).Err())
	}
}

func TestTestsOfTLSSkipIfTheServerHasNone(t *testing.T) {
	servers.StartOne(t) // skips here if there is no server
	program := filepath.Join(t.TempDir(), "server")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho '>>> '\\''tls-port'\\''; Bad directive or wrong number of arguments'; exit 1\n"), 0o700)) //nolint:gosec // it is a program
	t.Setenv("REDLOCK_SERVER", program)
	f := &fakeTB{TB: t}
	f.run(func() { servers.StartOne(f, servers.WithTLS(servers.NewAuthority(t))) })
	require.Equal(t, "needs a redis-server that is built with TLS", f.skip)
	require.Empty(t, f.fatal)
}

// readWithoutCertificate returns how a server ends a connection whose client shows no
// certificate. The client sends nothing: its system may drop what the server has said once
// what it sends comes back as undeliverable.
func readWithoutCertificate(t *testing.T, addr string, a *servers.Authority) error {
	t.Helper()
	config := a.Config()
	config.Certificates = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if err == nil {
		defer func() { _ = conn.Close() }()
		_, err = conn.Read(make([]byte, 1))
	}
	return err
}

func inTheClear(o *redis.Options) { o.TLSConfig = nil }

func once(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 }
