package simulation

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/b0401464/redlock/internal/memory"
)

// A node is an in-memory Redis with a clock of its own.
type node struct {
	w     *world
	id    int
	redis *miniredis.Miniredis
	rate  float64       // of its clock: how much faster than time it runs
	off   time.Duration // what it says the time is, beside that; keys last as long all the same
	old   bool          // it has no command that compares and deletes
	now   time.Time     // by its clock, at the last tick

	begins time.Time // when it was started last, by its clock

	frozen    bool
	down      bool
	loads     time.Time  // until when it loads its data after a restart
	away      time.Time  // since when it is one of these; zero if it is not
	backlog   []*message // what arrived while it was frozen
	conns     map[*conn]struct{}
	here      map[string]*span // by key: what is there now
	failsOver bool             // that takes over when the node is up again
	copy      *copied          // what its replica has that is behind; nil if none is

	surprises *rand.Rand // see surprise
	doubts    *rand.Rand // see doubt
}

// maxSkew bounds how far the rate of a node's clock is from that of the
// processes. The library sets 1 % aside.
const maxSkew = 0.009

func newNode(w *world, id int) *node {
	n := &node{
		w: w, id: id, redis: miniredis.NewMiniRedis(), rate: 1,
		conns: make(map[*conn]struct{}), here: make(map[string]*span),
		surprises: w.random("surprises", id), doubts: w.random("doubts", id),
	}
	if w.profile.skewed {
		n.rate += (2*w.random("clock", id).Float64() - 1) * maxSkew
	}
	n.old = w.profile.plain == 0 && chance(w.random("old", id), 0.5)
	n.begins = w.began.Add(-time.Hour)
	n.redis.SetTime(w.began)
	n.redis.ClockTTL(true)
	// A first connection starts the server. The others are the simulator's own
	// and hand their commands over without one.
	if c, err := n.redis.Dial(); err == nil {
		_ = c.Close()
	}
	n.redis.Server().SetPreHook(n.answers)
	return n
}

func (n *node) addr() string { return "10.0.0." + strconv.Itoa(n.id+1) + ":6379" }

// tick sets the clock of the node.
func (n *node) tick() {
	passed := time.Since(n.w.began)
	n.now = n.w.began.Add(time.Duration(float64(passed) * n.rate))
	n.redis.SetTime(n.now)
}

// answers deals with what the server does not know, or says otherwise.
func (n *node) answers(c *server.Peer, cmd string, args ...string) bool {
	return n.saysTime(c, cmd) || n.saysAge(c, cmd) || n.lacks(c, cmd) || memory.SetIfEq(n.redis, c, cmd, args)
}

// lacks answers what an old server does not know.
func (n *node) lacks(c *server.Peer, cmd string) bool {
	if cmd != "DELEX" || !n.old {
		return false
	}
	c.WriteError("ERR unknown command 'DELEX'")
	return true
}

// saysTime answers TIME while the clock is off.
func (n *node) saysTime(c *server.Peer, cmd string) bool {
	if cmd != "TIME" || n.off == 0 {
		return false
	}
	now := n.now.Add(n.off)
	c.WriteLen(2)
	c.WriteBulk(strconv.FormatInt(now.Unix(), 10))
	c.WriteBulk(strconv.Itoa(now.Nanosecond() / 1000))
	return true
}

// saysAge answers INFO, of which a script asks for how long the node is up.
func (n *node) saysAge(c *server.Peer, cmd string) bool {
	if cmd != "INFO" {
		return false
	}
	c.WriteBulk(fmt.Sprintf("uptime_in_seconds:%d\r\n", n.now.Unix()-n.begins.Unix()))
	return true
}

// lasts converts a TTL on the node's clock to time.
func (n *node) lasts(ttl time.Duration) time.Duration {
	return time.Duration(float64(ttl) / n.rate)
}

// receive takes a request that has arrived. A frozen node gets to it later, as
// one does that is stopped: its kernel goes on receiving.
func (n *node) receive(m *message) {
	switch {
	case n.down || m.conn.refused:
		m.conn.reset()
	case n.frozen:
		n.backlog = append(n.backlog, m)
	default:
		n.apply(m)
	}
}

// apply runs the commands of a request and sends the reply.
func (n *node) apply(m *message) {
	var reply []byte
	for i := range m.commands {
		said := n.run(m, &m.commands[i])
		m.gone = m.gone || m.commands[i].op == extend && bytes.HasPrefix(said, []byte(":-"))
		reply = append(reply, said...)
	}
	m.conn.answer(m, reply)
}

// run runs one command and looks at what it did to its keys.
func (n *node) run(m *message, c *command) (reply []byte) {
	if channel, ok := c.subscribes(); ok {
		if m.conn.closed {
			return nil
		}
		if m.conn.link.process.deaf {
			return []byte("-NOPERM No permissions to access a channel\r\n")
		}
		return m.conn.listen(channel)
	}
	if n.w.profile.mute && strings.EqualFold(c.args[0], "eval") { // the node knows no script by the name of another one
		c.args[1] = strings.ReplaceAll(c.args[1], `"PUBLISH"`, `"REFUSED"`)
	}
	if n.loads.After(time.Now()) && c.op != other {
		return []byte("-LOADING Redis is loading the dataset in memory\r\n")
	}
	n.tick()
	for _, key := range c.keys {
		n.look(key, nil, ended{})
	}
	before := n.view(c)
	n.redis.Server().Dispatch(m.conn.peer, c.args)
	m.conn.peer.Flush()
	reply = bytes.Clone(m.conn.written.Bytes())
	m.conn.written.Reset()
	for _, key := range c.keys {
		n.look(key, m, ended{by: c})
	}
	n.w.applied(n, m, c, string(reply))
	n.lined(m, c, before, string(reply))
	return reply
}

// look notes what is at a key now, and the end of what was there before.
func (n *node) look(key string, m *message, why ended) {
	text, err := n.redis.Get(key)
	if err != nil {
		text = ""
	}
	now, s := time.Now(), n.here[key]
	if s != nil && s.value.text != text {
		if s.expires.After(now) {
			s.end(now, why)
		} else {
			s.end(s.expires, ended{expired: true})
		}
		delete(n.here, key)
		s = nil
	}
	if text == "" {
		return
	}
	if s == nil {
		s = &span{node: n.id, value: n.w.value(text, key), from: now, open: true, late: m != nil && m.conn.closed}
		s.value.spans = append(s.value.spans, s)
		n.here[key] = s
	}
	expires := now.Add(n.lasts(n.redis.TTL(key)))
	s.stretched = s.stretched || m != nil && m.conn.closed && expires.After(s.expires)
	s.expires = expires
}

func (s *span) end(at time.Time, why ended) {
	s.open, s.to, s.why = false, at, why
	w := s.value.w
	if x := s.value.waiter; x != nil && why.expired && x.taken && x.gate != nil && x.gate.id == s.node {
		x.lapsed = true
	}
	w.tell(s.value, "node %d has it until %s: %v", s.node, w.clock(at), why)
}

// freeze stops the node as SIGSTOP does.
func (n *node) freeze() {
	n.frozen = true
	n.leaves()
	n.w.log("node %d: frozen", n.id)
}

func (n *node) thaw() {
	if !n.frozen {
		return
	}
	n.frozen = false
	n.loaded()
	n.w.log("node %d: goes on, with %d requests that wait", n.id, len(n.backlog))
	backlog := n.backlog
	n.backlog = nil
	for _, m := range backlog {
		n.receive(m)
	}
}

// stop kills the node: its connections are reset, what it has received and not
// run is gone.
func (n *node) stop() {
	n.down, n.frozen, n.backlog = true, false, nil
	n.leaves()
	for c := range n.conns {
		c.refused = true
		c.reset()
	}
	clear(n.conns)
	n.w.log("node %d: down", n.id)
}

// start brings the node back, with the data that it had or empty.
func (n *node) start(empty bool) {
	if !n.down {
		return
	}
	n.down = false
	n.tick()
	n.begins = n.now
	for key := range n.here {
		n.look(key, nil, ended{})
	}
	if n.copy != nil && n.failsOver {
		n.failsOver = false
		n.failOver()
	}
	n.load(empty)
	n.copy = nil
	if empty {
		n.redis.FlushAll()
		n.w.wipes = append(n.w.wipes, time.Now())
		for key := range n.here {
			n.look(key, nil, ended{lost: true})
		}
	}
	n.forgetScripts()
	n.w.log("node %d: up again, empty: %t", n.id, empty)
}

// load has a node that comes back with its data refuse commands for a while, in every
// second case.
func (n *node) load(empty bool) {
	n.loads = time.Now()
	if n.w.raging && !empty && chance(n.surprises, 0.5) {
		lasts := between(n.surprises, 10*ms, longestLoad)
		n.loads = n.loads.Add(lasts)
		n.w.stats.Loads++
		n.w.log("node %d: loads its data for %v", n.id, lasts)
		n.trouble(lasts, resumes)
		n.w.after(lasts, n.loaded)
		return
	}
	n.away = time.Time{}
}

// longestLoad is how long a node loads its data at most.
const longestLoad = 5 * sec

// loaded notes that the node may carry commands out again.
func (n *node) loaded() {
	if !n.down && !n.frozen && !n.loads.After(time.Now()) {
		n.away = time.Time{}
	}
}

// leaves notes that the node answers nobody from now on.
func (n *node) leaves() {
	if n.away.IsZero() {
		n.away = time.Now()
	}
}

func (n *node) forgetScripts() {
	var ignored bytes.Buffer
	n.redis.Server().Dispatch(server.NewPeer(bufio.NewWriter(&ignored)), []string{"SCRIPT", "FLUSH"})
}

// settle looks at every key, so that expired ones are noted.
func (n *node) settle() {
	n.tick()
	for key := range n.here {
		n.look(key, nil, ended{})
	}
}

// close ends the server. Nothing is under way then.
func (n *node) close() { n.redis.Close() }
