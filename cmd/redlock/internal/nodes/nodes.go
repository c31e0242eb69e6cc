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
	"strconv"
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
	for line := range strings.Lines(strings.TrimPrefix(string(text), byteOrderMark)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			urls = append(urls, line)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%s names no nodes", path)
	}
	return urls, nil
}

// byteOrderMark is what some editors begin a file with.
const byteOrderMark = "\ufeff"

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
	certificates, err := c.TLS.load()
	if err != nil {
		return nil, nil, err
	}
	secured := 0
	secure := func(t *tls.Config) {
		if t != nil {
			secured++
			certificates(t)
		}
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
	if c.TLS != (TLS{}) && secured == 0 {
		closeAll()
		return nil, nil, errPlain
	}
	return clients, closeAll, nil
}

// errPlain keeps what is believed to be encrypted from being sent as it is.
var errPlain = errors.New("there are files for TLS, but no node is reached through it: write rediss:// for redis://")

// errURL is said of everything that may be a password which is not escaped.
var errURL = errors.New("not a URL as redis://user:password@host:6379 (write %40 for @ in a password, %2F for /, %23 for #, %2C for a comma)")

// errParameters is said where go-redis would name what may be the rest of a password.
var errParameters = errors.New("a parameter is unknown or has a bad value (write %26 for & in a password, %25 for %)")

// open makes the client that a URL asks for: of a Sentinel group if it names its master,
// of a Cluster if it gives further addresses or says so, else of one server.
func open(raw string, secure func(*tls.Config)) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" && u.Scheme != "unix" || isCut(raw) {
		return nil, errURL
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil && u.Port() != "" {
		return nil, errURL
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errParameters // go-redis would do without
	}
	if err := checkCounts(q); err != nil {
		return nil, err
	}
	client, err := openAs(u, q, secure)
	if err != nil && q.Has("password") {
		return nil, errParameters
	}
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "redis: "))
	}
	return client, nil
}

// isCut reports whether a character of a password has ended the place for it too early: what
// stands before an @ is part of one then, or what stands behind a #.
func isCut(raw string) bool {
	_, rest, _ := strings.Cut(raw, "://")
	end := strings.IndexAny(rest, "/?#")
	return end >= 0 && strings.ContainsAny(rest[end:], "@#")
}

// maxCount is far more than a lock needs of anything.
const maxCount = 1 << 20

// checkCounts finds those with which go-redis would panic, or use up the memory.
func checkCounts(q url.Values) error {
	for _, name := range []string{
		"pool_size", "pipeline_pool_size", "min_idle_conns", "max_idle_conns", "max_active_conns",
		"pipeline_read_buffer_size", "pipeline_write_buffer_size",
	} {
		for _, text := range q[name] {
			n, err := strconv.Atoi(text)
			if err == nil && (n < 0 && name != "pipeline_pool_size" || n > maxCount) {
				return fmt.Errorf("%s: want 0 to %d", name, maxCount)
			}
		}
	}
	return nil
}

func openAs(u *url.URL, q url.Values, secure func(*tls.Config)) (redis.UniversalClient, error) {
	switch {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, err
		}
		if o.MasterName == "" {
			return nil, errors.New("an empty master_name")
		}
		secure(o.TLSConfig)
		return redis.NewFailoverClient(o), nil
	case q.Has("addr") || q.Has("cluster"):
		q.Del("cluster")
		u.RawQuery = q.Encode()
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, err
		}
		secure(o.TLSConfig)
		o.MaintNotificationsConfig = quiet()
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	secure(o.TLSConfig)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClient(o), nil
}

// quiet spares each connection a command that servers without such notifications refuse.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// load returns what adds the certificates to the configuration of a node.
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
	return func(c *tls.Config) { c.RootCAs, c.Certificates = roots, own }, nil
}
