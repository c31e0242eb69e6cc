package rig

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Traffic is what servers have done, all of them together.
type Traffic struct {
	Commands int64 // those that scripts run, too
	Scripts  int64
	Reads    int64 // of a socket, each with one request or several
}

// Since returns what a has more than b.
func (a Traffic) Since(b Traffic) Traffic {
	return Traffic{a.Commands - b.Commands, a.Scripts - b.Scripts, a.Reads - b.Reads}
}

// ReadTraffic asks the servers.
func ReadTraffic(tb testing.TB, servers []*redis.Client) Traffic {
	tb.Helper()
	var sum Traffic
	for _, c := range servers {
		info, err := c.Info(context.Background(), "stats", "commandstats").Result()
		require.NoError(tb, err)
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			value, _, _ = strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch name {
			case "total_commands_processed":
				sum.Commands += n
			case "cmdstat_evalsha", "cmdstat_eval":
				sum.Scripts += n
			case "total_reads_processed":
				sum.Reads += n
			}
		}
	}
	return sum
}
