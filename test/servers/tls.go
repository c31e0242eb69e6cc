package servers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority issues the certificates of servers and of their clients.
type Authority struct {
	dir    string
	cert   *x509.Certificate
	key    crypto.Signer
	client tls.Certificate
}

// NewAuthority returns an authority of its own, whose files go when tb ends.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir()}
	self, err := a.issue("authority")
	if err == nil {
		a.cert, a.key = self.Leaf, self.PrivateKey.(crypto.Signer)
		_, err = a.issue("server")
	}
	if err == nil {
		a.client, err = a.issue("client")
	}
	if err != nil {
		tb.Fatalf("servers: certificates: %v", err)
	}
	return a
}

// Config returns the configuration of a client that trusts servers of a and
// shows them a certificate of a.
func (a *Authority) Config() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   "127.0.0.1",
		RootCAs:      roots,
		Certificates: []tls.Certificate{a.client},
	}
}

// Files returns the names of two files in PEM form: the certificate of a, and one for
// clients with its key.
func (a *Authority) Files() (authority, client string) {
	return filepath.Join(a.dir, "authority.pem"), filepath.Join(a.dir, "client.pem")
}

// WithTLS has the servers speak TLS only, with a certificate of a, and demand one
// of their clients. [Server.Client] returns a client that has it. [Start] skips
// the test if the servers are built without TLS.
func WithTLS(a *Authority) Option {
	return optionFunc(func(c *config) {
		c.tls = a.Config()
		c.args = append(c.args,
			"--tls-ca-cert-file", filepath.Join(a.dir, "authority.pem"),
			"--tls-cert-file", filepath.Join(a.dir, "server.pem"),
			"--tls-key-file", filepath.Join(a.dir, "server.pem"),
			"--tls-auth-clients", "yes",
		)
	})
}

// issue makes a certificate for 127.0.0.1 and leaves it, with its key, in a file.
// The first one is the authority's own.
func (a *Authority) issue(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issuer, signer := a.cert, a.key
	if issuer == nil {
		wanted.IsCA, wanted.BasicConstraintsValid = true, true
		wanted.KeyUsage |= x509.KeyUsageCertSign
		issuer, signer = wanted, key
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, issuer, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err := os.WriteFile(filepath.Join(a.dir, name+".pem"), append(certPEM, keyPEM...), 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}
