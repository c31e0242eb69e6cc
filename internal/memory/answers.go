package memory

import (
	"fmt"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// upFor is for how long a new node has been up.
const upFor = 365 * 24 * time.Hour

// AnswerMore makes the server answer what it does not know: SET with IFEQ, and INFO of a
// server that is well.
func (n *Node) AnswerMore() error {
	began := time.Now().Add(-upFor)
	n.began.Store(&began)
	c, err := n.Dial() // starts the server
	if err != nil {
		return err
	}
	n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		return n.info(c, cmd, args) || SetIfEq(n.Miniredis, c, cmd, args)
	})
	return c.Close()
}

// Restart makes the server forget its data, and begin again where INFO tells for how long it
// is up. Its connections stay.
func (n *Node) Restart() {
	now := time.Now()
	n.began.Store(&now)
	n.FlushAll()
}

// info answers INFO, also within a script.
func (n *Node) info(c *server.Peer, cmd string, args []string) bool {
	if cmd != "INFO" || len(args) > 0 && (args[0] == "clients" || args[0] == "stats") { // these it knows
		return false
	}
	up := time.Since(*n.began.Load()) // it may have been asked with the server's data locked
	c.WriteBulk(fmt.Sprintf("redis_version:8.4.0\r\nuptime_in_seconds:%d\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n",
		int64(up.Seconds())))
	return true
}

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
