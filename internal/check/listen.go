package check

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
)

// A listening is a connection that hears one message. It ends when it has, a node timeout
// after that was sent, or with its probe.
type listening struct {
	channel string
	ready   chan error    // nil when the node has confirmed that it listens
	sent    chan struct{} // closed when the message was
	heard   chan error
}

// listen begins to listen, if a line needs that and the client can.
func (p *probe) listen() *listening {
	c, ok := p.client.(client.Subscriber)
	if !p.Lines || !ok || !p.node.Client.Listens {
		return nil
	}
	l := &listening{
		channel: p.channel + strconv.Itoa(p.index), ready: make(chan error, 1), sent: make(chan struct{}), heard: make(chan error, 1),
	}
	p.Go(func() {
		err := client.ErrNoReturn
		defer func() {
			if r := recover(); r != nil {
				err = client.Panicked(r)
			}
			l.tell(err)
		}()
		err = l.hear(p, c)
	})
	return l
}

// tell brings how it has ended to whoever waits yet.
func (l *listening) tell(err error) {
	for _, c := range []chan error{l.ready, l.heard} {
		select {
		case c <- err:
		default:
		}
	}
}

// hear subscribes, and returns nil when the message has come.
func (l *listening) hear(p *probe, c client.Subscriber) error {
	pubsub := c.Subscribe(p.ctx, l.channel)
	defer func() { _ = pubsub.Close() }()
	in, err := pubsub.ReceiveTimeout(p.ctx, p.Timeout)
	if err != nil {
		return err
	}
	if _, confirmed := in.(*redis.Subscription); !confirmed {
		return fmt.Errorf("the subscription was answered with %T", in)
	}
	l.ready <- nil
	select {
	case <-l.sent:
	case <-p.end:
		return nil
	}
	for deadline := time.Now().Add(p.Timeout); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return errUnheard
		}
		in, err := pubsub.ReceiveTimeout(p.ctx, left)
		if err != nil {
			return err
		}
		if _, message := in.(*redis.Message); message {
			return nil
		}
	}
}

// confirmed waits for the node to confirm that it listens, for the node timeout at most.
func (l *listening) confirmed(p *probe) error {
	timer := time.NewTimer(p.Timeout)
	defer timer.Stop()
	select {
	case err := <-l.ready:
		return p.set.clean(err)
	case <-timer.C:
		return fmt.Errorf("not confirmed within %v", p.Timeout)
	case <-p.over:
		p.node.Cut = true
		return nil
	}
}

// message waits for the message, which was sent.
func (l *listening) message(p *probe) bool {
	close(l.sent)
	timer := time.NewTimer(p.Timeout)
	defer timer.Stop()
	select {
	case err := <-l.heard:
		return err == nil
	case <-timer.C:
	case <-p.over:
		p.node.Cut = true
	}
	return false
}

var errUnheard = errors.New("no message")
