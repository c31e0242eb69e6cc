package check

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
)

// reply is an error that a node has answered.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestNoTextShowsAPassword(t *testing.T) {
	s := settings{secrets: []string{"hunter2"}}
	for _, text := range []string{
		"ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'another'",
		"WRONGPASS hunter2 is not it",
	} {
		err := s.clean(reply(text))
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, err.Error(), "another")
		assert.True(t, client.IsReply(err))
	}
	assert.NoError(t, s.clean(nil))
}

func TestSettingsOfEachKindOfClientAreRead(t *testing.T) {
	o := &redis.Options{Addr: "127.0.0.1:1", ReadTimeout: time.Minute, PoolSize: 30, MaxActiveConns: 20, Password: "secret"}
	one, forever := redis.NewClient(o), redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ReadTimeout: -1})
	group := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "group", SentinelAddrs: []string{"127.0.0.1:1"}})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadTimeout: time.Minute, PoolSize: 7})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, ReadTimeout: time.Minute, HeartbeatFrequency: time.Hour})
	for _, c := range []interface{ Close() error }{one, forever, group, cluster, ring} {
		t.Cleanup(func() { _ = c.Close() })
	}
	for name, tt := range map[string]struct {
		client client.Client
		want   finding.Settings
	}{
		"one server": {one, finding.Settings{Plain: true, Listens: true, Own: true, Known: true, ReadTimeout: time.Minute, Connections: 20}},
		"for ever":   {forever, finding.Settings{Plain: true, Listens: true, Own: true, Known: true, Connections: forever.Options().PoolSize}},
		"a group":    {group, finding.Settings{Plain: true, Failover: true, Listens: true, Own: true, Known: true, ReadTimeout: group.Options().ReadTimeout, Connections: group.Options().PoolSize}},
		"a Cluster":  {cluster, finding.Settings{Spread: client.BySlot, Listens: true, Own: true, Known: true, ReadTimeout: time.Minute, Connections: 7}},
		"a Ring":     {ring, finding.Settings{Spread: client.ByTag, Own: true, Known: true, ReadTimeout: time.Minute}},
	} {
		assert.Equal(t, tt.want, settingsOf(tt.client).Settings, name)
	}
	assert.Equal(t, []string{"secret"}, settingsOf(one).secrets)
	assert.Positive(t, forever.Options().PoolSize)
}
