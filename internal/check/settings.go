package check

import (
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
)

// A settings is what is known of a client.
type settings struct {
	finding.Settings

	secrets []string // what no text may show
}

// settingsOf returns what is known of a client. One that panics when it is asked was refused
// by New.
func settingsOf(c client.Client) settings {
	s := settings{Settings: finding.Settings{Spread: client.SpreadOf(c), Own: client.Own(c)}}
	_, s.Listens = c.(client.Subscriber)
	s.Listens = s.Listens && s.Spread != client.ByTag // a message would go to another shard
	_, s.Plain = c.(*redis.Client)
	switch c := c.(type) {
	case interface{ Options() *redis.Options }:
		if o := c.Options(); o != nil {
			s.set(o.ReadTimeout, o.PoolSize, o.MaxActiveConns, o.Password)
			endpoints, _ := client.Endpoints(c)
			s.Failover = len(endpoints) == 0
		}
	case interface{ Options() *redis.ClusterOptions }:
		if o := c.Options(); o != nil {
			s.set(o.ReadTimeout, o.PoolSize, o.MaxActiveConns, o.Password)
		}
	case interface{ Options() *redis.RingOptions }:
		if o := c.Options(); o != nil {
			s.set(o.ReadTimeout, o.PoolSize, o.MaxActiveConns, o.Password)
		}
	}
	return s
}

func (s *settings) set(readTimeout time.Duration, pool, most int, password string) {
	s.Known, s.ReadTimeout, s.Connections = true, max(readTimeout, 0), pool
	if most > 0 {
		s.Connections = min(pool, most)
	}
	if password != "" {
		s.secrets = append(s.secrets, password)
	}
}

// clean returns err without what no text may show: passwords, and the arguments that a server
// quotes of a command which it does not know, as of a login.
func (s *settings) clean(err error) error {
	if err == nil {
		return nil
	}
	err = client.WithoutArguments(err)
	for _, secret := range s.secrets {
		err = client.Redact(err, secret)
	}
	return err
}
