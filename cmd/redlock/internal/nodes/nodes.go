// Package nodes makes clients of the nodes that a user names by URLs.
//
// A URL may hold a password. So no error of this package, and none that it passes on, shows
// any part of one.
package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/b0401464/redlock"
)

// A Config names the nodes.
type Config struct {
	URLs []string // one a node
	TLS  TLS
}

// TLS names the files for nodes that are reached through TLS. An empty name stands for
// what the system trusts, or for no certificate.
type TLS struct {
	CA   string // certificates of authorities
	Cert string // of the client
	Key  string // for Cert
}

// Read returns the URLs in a file: one a line, blank lines and those that begin with # aside.
func Read(path string) ([]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user's own
	if err != nil {
		return nil, err
	}
	var urls []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			urls = append(urls, line)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%s names no nodes", path)
	}
	return urls, nil
}

// Split returns the URLs of a list with commas between them.
func Split(list string) []string {
	var urls []string
	for u := range strings.SplitSeq(list, ",") {
		if u = strings.TrimSpace(u); u != "" {
			urls = append(urls, u)
		}
	}
	return urls
}

// silent is where what go-redis would log goes: standard error is the command's.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Open returns a client for each node and a function that closes them. It sends nothing. What
// go-redis would log is not seen any more.
func Open(c Config) (clients []redlock.Client, closeAll func(), err error) {
	if len(c.URLs) == 0 {
		return nil, nil, errors.New("no nodes")
	}
	redis.SetLogger(silent{})
	secure, err := c.TLS.load()
	if err != nil {
		return nil, nil, err
	}
	var opened []redis.UniversalClient
	closeAll = func() {
		for _, c := range opened {
			_ = c.Close() // the process ends
		}
	}
	for i, u := range c.URLs {
		client, err := open(u, secure)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		opened, clients = append(opened, client), append(clients, client)
	}
	return clients, closeAll, nil
}

// errURL is said of everything that may be a password which is not escaped.
var errURL = errors.New("not a URL as redis://user:password@host:6379 (write %40 for @ in a password, %2F for /, %2C for a comma)")

// open makes the client that a URL asks for: of a Sentinel group if it names its master,
// of a Cluster if it gives further addresses or says so, else of one server.
func open(raw string, secure func(*tls.Config)) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
	// What stands before an @ outside of the place for users is part of a password.
	if err != nil || u.User == nil && strings.Contains(raw, "@") || u.Host == "" && u.Scheme != "unix" {
		return nil, errURL
	}
	q := u.Query()
	switch {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, plain(err)
		}
		secure(o.TLSConfig)
		return redis.NewFailoverClient(o), nil
	case q.Has("addr") || q.Has("cluster"):
		q.Del("cluster")
		u.RawQuery = q.Encode()
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, plain(err)
		}
		secure(o.TLSConfig)
		o.MaintNotificationsConfig = quiet()
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, plain(err)
	}
	secure(o.TLSConfig)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClient(o), nil
}

// quiet spares each connection a command that servers without such notifications refuse.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func plain(err error) error { return errors.New(strings.TrimPrefix(err.Error(), "redis: ")) }

// load returns what adds the certificates to the configuration of a node, if it has one.
func (t TLS) load() (func(*tls.Config), error) {
	var roots *x509.CertPool
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM form", t.CA)
		}
	}
	var own []tls.Certificate
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %q with key %q: %w", t.Cert, t.Key, err)
		}
		own = append(own, pair)
	}
	return func(c *tls.Config) {
		if c != nil {
			c.RootCAs, c.Certificates = roots, own
		}
	}, nil
}
