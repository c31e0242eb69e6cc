package simulation

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"
)

// A link is the way from one process to one node.
type link struct {
	w       *world
	process *process
	node    *node
	far     time.Duration // added to every delay
	// When something was wrong with it, in order.
	troubles stretches
	// By script, so that two commands of the same instant draw the same numbers
	// whichever of them comes first.
	random [ops]*rand.Rand

	stale  int       // connections that were reset, and the client has not closed
	ended  bool      // its process is dead
	dark   int       // black holes that it lies in
	keeps  bool      // the black hole gives back what it has swallowed when it ends
	parked []*parcel // swallowed, to be given back
}

// A weather is what befalls messages, each by chance.
type weather struct {
	near, wide time.Duration // every message takes between the two
	// Some requests, and some replies, take between slow and slower. When that
	// is longer than the client waits, it closes the connection, and the
	// request is applied all the same.
	late         float64
	slow, slower time.Duration
	lost         float64 // the connection hangs from here on
	lostReply    float64 // so it does when the request has been applied
	cut          float64 // the connection is reset, the request does not arrive
	resetAfter   float64 // the connection is reset instead of a reply
}

// A fate is what befalls one request.
type fate uint8

const (
	arrives fate = iota
	isLost
	isCut
	losesReply
	resetsAfter
)

func newLink(p *process, n *node) *link {
	l := &link{w: p.w, process: p, node: n}
	for o := range l.random {
		l.random[o] = p.w.random("link", p.id, n.id, o)
	}
	l.far = evenly(l.random[other], 0, p.w.profile.far)
	return l
}

func (l *link) delay(o op) time.Duration {
	return l.far + evenly(l.random[o], l.w.weather.near, l.w.weather.wide)
}

// draw returns the fate of a request and how long it and its reply take.
func (l *link) draw(o op) (f fate, there, back time.Duration) {
	w, r := l.w.weather, l.random[o]
	there, back = l.delay(o), l.delay(o)
	if chance(r, w.late) {
		there += between(r, w.slow, w.slower)
	} else if chance(r, w.late) {
		back += between(r, w.slow, w.slower)
	}
	switch u := r.Float64(); {
	case u < w.lost:
		f = isLost
	case u < w.lost+w.lostReply:
		f = losesReply
	case u < w.lost+w.lostReply+w.cut:
		f = isCut
	case u < w.lost+w.lostReply+w.cut+w.resetAfter:
		f = resetsAfter
	}
	return f, there, back
}

// A parcel is what a connection carries in one direction.
type parcel struct {
	conn   *conn
	takes  time.Duration
	last   *time.Time // when the one before it arrives: none overtakes another
	inward bool       // to the client
	arrive func()
}

func (p *parcel) send() {
	now := time.Now()
	at := now.Add(p.takes)
	if !at.After(*p.last) {
		at = p.last.Add(time.Nanosecond)
	}
	*p.last = at
	p.conn.link.w.after(at.Sub(now), p.land)
}

func (p *parcel) land() {
	switch l := p.conn.link; {
	case p.conn.stuck:
	case p.inward && l.process.stopped != nil:
		l.process.waits = append(l.process.waits, p.land)
	case l.dark == 0:
		p.arrive()
	case l.keeps:
		l.parked = append(l.parked, p)
	default:
		p.conn.stuck = true
	}
}

// darken puts the link into a black hole. keeps says that what is sent
// meanwhile arrives when it is over, as the kernel sends it again; otherwise
// the connections that were used meanwhile hang for ever.
func (l *link) darken(keeps bool) {
	l.dark++
	l.keeps = keeps
	l.trouble(0, hangs)
}

func (l *link) lighten() {
	l.trouble(0, hangs)
	if l.dark--; l.dark > 0 {
		return
	}
	parked := l.parked
	l.parked = nil
	for _, p := range parked {
		p.send()
	}
}

// A timeoutError is what a dial ends with that nobody answered.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func opError(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }

var (
	errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	errReset   = os.NewSyscallError("read", syscall.ECONNRESET)
)

// dial connects to the node. A frozen node is connected to, by its kernel.
func (l *link) dial(ctx context.Context) (net.Conn, error) {
	l.w.mu.Lock()
	wait := l.delay(other)
	l.w.mu.Unlock()
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, opError("dial", timeoutError{})
		case <-timer.C:
		}
		if c, err := l.shake(); c != nil || err != nil {
			return c, err
		}
		wait = time.Second // then the kernel tries again
	}
}

// shake returns neither a connection nor an error while nobody answers.
func (l *link) shake() (net.Conn, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	switch {
	case l.dark > 0 || l.process.stopped != nil:
		return nil, nil
	case l.node.down, l.ended:
		return nil, opError("dial", errRefused)
	default:
		return newConn(l), nil
	}
}
