package benchmarks

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

// Columns of processor time: that of this process, with all that is in it, and that of all
// servers together.
const (
	colClient = "client per turn"
	colServer = "servers per turn"
)

// processorNote goes below the tables that have these columns.
const processorNote = "Processor time per turn is that of the whole client process and of all servers together. It depends less on how busy the machine is than the rates do."

// A processor is how much processor time was used until a moment.
type processor struct{ client, servers time.Duration }

// processor returns what this process and the servers have used.
func (g *rig) processor(t *testing.T) (p processor) {
	t.Helper()
	var own syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	p.client = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	for _, c := range g.direct {
		info, err := c.InfoMap(t.Context(), "cpu").Result()
		require.NoError(t, err)
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(info["CPU"][name], 64)
			require.NoError(t, err)
			p.servers += time.Duration(seconds * float64(time.Second))
		}
	}
	return p
}

// noteProcessor adds what so many turns have used since p.
func (g *rig) noteProcessor(t *testing.T, row *report.Row, p processor, turns int) {
	t.Helper()
	if turns == 0 {
		return
	}
	now := g.processor(t)
	row.Add(colClient, (now.client-p.client).Seconds()/float64(turns))
	row.Add(colServer, (now.servers-p.servers).Seconds()/float64(turns))
}
