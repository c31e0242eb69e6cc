package finding

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// info returns the text of INFO with these lines.
func info(lines ...string) string { return "# Server\r\n" + strings.Join(lines, "\r\n") + "\r\n" }

func TestInfoTellsWhatAServerIs(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want Info
	}{
		"Redis": {
			info("redis_version:7.0.15", "redis_mode:standalone", "run_id:abc", "uptime_in_seconds:3600", "", "# Memory",
				"maxmemory:104857600", "maxmemory_policy:volatile-ttl", "# Persistence", "aof_enabled:1", "aof_last_write_status:ok",
				"aof_pending_bio_fsync:0", "aof_delayed_fsync:0", "# Stats", "evicted_keys:7", "# Replication", "role:master", "master_replid:def", "cluster_enabled:0"),
			Info{
				Product: "redis", Version: "7.0.15", Speaks: "7.0.15", Mode: "standalone", Role: Primary, RunID: "abc", Replication: "def",
				HasUptime: true, Uptime: time.Hour, Policy: "volatile-ttl", MaxMemory: 100 << 20, Evicted: 7, AOF: AOFOn,
			},
		},
		"Valkey": {
			info("redis_version:7.2.4", "server_name:valkey", "valkey_version:8.0.1", "server_mode:standalone", "role:slave", "aof_enabled:0"),
			Info{Product: "valkey", Version: "8.0.1", Speaks: "7.2.4", Mode: "standalone", Role: Replica, AOF: AOFOff},
		},
		"a Sentinel of Valkey": {
			info("redis_version:7.2.4", "valkey_version:9.1.2", "server_mode:sentinel"),
			Info{Product: "valkey", Version: "9.1.2", Speaks: "7.2.4", Mode: "sentinel"},
		},
		"a server of a Cluster":         {info("cluster_enabled:1"), Info{Mode: "cluster"}},
		"a file that cannot be written": {info("aof_enabled:1", "aof_last_write_status:err"), Info{AOF: AOFFailing}},
		"one that is written late":      {info("aof_enabled:1", "aof_delayed_fsync:3"), Info{AOF: AOFDelayed}},
		"one that is being written":     {info("aof_enabled:1", "aof_pending_bio_fsync:1"), Info{AOF: AOFDelayed}},
		"KeyDB with several primaries":  {info("role:active-replica"), Info{Role: Primary, Merges: true}},
		"Redis Enterprise":              {info("rlec_version:7.4.2-54"), Info{Enterprise: true}},
		"Active-Active, by its module":  {info("module:name=search,ver=1", "module:name=crdt,ver=2", "module:name=json"), Info{Merges: true}},
		"Active-Active, by a field":     {info("crdt_replica_id:1"), Info{Merges: true}},
		"Garnet": {
			info("garnet_version:1.0.48", "redis_version:7.4.3"),
			Info{Product: "garnet", Version: "1.0.48", Speaks: "7.4.3"},
		},
		"Dragonfly": {
			info("redis_version:7.4.0", "dragonfly_version:df-v1.40.1", "cache_mode:cache", "maxmemory_policy:noeviction"),
			Info{Product: "dragonfly", Version: "1.40.1", Speaks: "7.4.0", Policy: "cache_mode", AOF: AOFOff},
		},
		"nothing":      {"", Info{}},
		"what it does": {"\r\n:\r\n#x:y\r\nno colon\nuptime_in_seconds:-1\r\nmaxmemory:many", Info{}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, ParseInfo(tt.text)) })
	}
}

func TestVersionsAreComparedByTheirNumbers(t *testing.T) {
	for version, want := range map[string]bool{
		"7.2.0": true, "7.2": true, "7.10.1": true, "8.0.6": true, "10.0": true, "255.255.255": true,
		"7.0.15": false, "6.9": false, "7": false, "": false, "unstable": false,
	} {
		in := Info{Speaks: version}
		assert.Equal(t, want, in.AtLeast(7, 2), version)
	}
}

func FuzzInfo(f *testing.F) {
	f.Add(info("redis_version:7.0.15", "uptime_in_seconds:3600", "maxmemory:1", "module:name=a", "role:master", "aof_enabled:1"))
	f.Add("a:b:c\n\n:\r\r\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := ParseInfo(text)
		assert.GreaterOrEqual(t, in.Uptime, time.Duration(0))
		assert.GreaterOrEqual(t, in.MaxMemory, int64(0))
		assert.GreaterOrEqual(t, in.Evicted, int64(0))
		assert.NotContains(t, in.Version+in.Policy+in.RunID, "\n")
		in.AtLeast(7, 2)
		s, nodes := healthy(1)
		nodes[0].Servers[0].Info = in
		for _, found := range Of(s, nodes) {
			assert.NotZero(t, found.Severity)
		}
	})
}
