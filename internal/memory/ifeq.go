package memory

import (
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// SetIfEq answers SET with IFEQ, which the nodes' server does not know. It reports false for
// any other command. It is one step for who waits for each answer, as tests in virtual time
// and the simulation do.
func SetIfEq(m *miniredis.Miniredis, c *server.Peer, cmd string, args []string) bool {
	if cmd != "SET" || len(args) != 6 || args[2] != "ifeq" {
		return false
	}
	ms, err := strconv.Atoi(args[5])
	has, missing := m.Get(args[0])
	switch {
	case err != nil:
		c.WriteError("ERR value is not an integer or out of range")
	case missing != nil || has != args[3]:
		c.WriteNull()
	default:
		_ = m.Set(args[0], args[1])
		m.SetTTL(args[0], time.Duration(ms)*time.Millisecond)
		c.WriteOK()
	}
	return true
}
