package simulation

import (
	"fmt"
	"strings"

	"github.com/alicebob/miniredis/v2"
)

// listen subscribes a connection to a channel, and returns what the node says to
// that. The node's own way to send messages knows no delays.
func (c *conn) listen(channel string) (reply []byte) {
	c.unlisten()
	s := c.link.node.redis.NewSubscriber()
	s.Subscribe(channel)
	c.listens = s
	// Whoever publishes waits until a message is taken, and may publish several.
	taken := make(chan miniredis.PubsubMessage, 1000)
	go func() {
		defer close(taken)
		for m := range s.Messages() {
			taken <- m
		}
	}()
	go func() {
		for m := range taken {
			c.push(s, m)
		}
	}()
	return fmt.Appendf(nil, "*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(channel), channel)
}

// unlisten ends what listen began.
func (c *conn) unlisten() {
	if s := c.listens; s != nil {
		c.listens = nil
		for _, channel := range s.Channels() {
			s.Unsubscribe(channel)
		}
		s.Close()
	}
}

// push sends a message of a channel to the client. What befalls replies befalls
// it too.
func (c *conn) push(s *miniredis.Subscriber, m miniredis.PubsubMessage) {
	w := c.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.listens != s || c.stuck {
		return
	}
	f, _, takes := c.link.draw(tell)
	c.link.befalls(f, takes)
	w.stats.Messages++
	switch f {
	case isLost, losesReply:
		c.stuck = true
		return
	case isCut, resetsAfter:
		c.reset()
		return
	default:
	}
	text := fmt.Appendf(nil, "*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(m.Channel), m.Channel, len(m.Message), m.Message)
	p := &parcel{conn: c, takes: takes, last: &c.lastReply, inward: true, arrive: func() {
		c.replies = append(c.replies, text...)
		c.notify()
	}}
	p.send()
}

// subscribes reports whether a command subscribes to a channel, which is named.
func (c *command) subscribes() (channel string, ok bool) {
	if len(c.args) == 2 && strings.EqualFold(c.args[0], "subscribe") {
		return c.args[1], true
	}
	return "", false
}
