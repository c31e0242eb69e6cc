package faultproxy

import (
	"bufio"
	"bytes"
	"net"
	"time"
)

// applyLate sends requests to the server when release is closed and keeps the
// last reply.
func (p *Proxy) applyLate(requests [][]byte, release <-chan struct{}) {
	p.wg.Go(func() {
		select {
		case <-release:
		case <-p.done:
			return
		}
		if !p.gate.wait(p.done) {
			return
		}
		reply, err := p.ask(requests)
		if err != nil {
			select {
			case <-p.done: // the test is over and does not care
			default:
				p.tb.Logf("faultproxy: a held request was lost: %v", err)
			}
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.late = append(p.late, string(reply))
	})
}

// ask sends requests on a new connection and returns the reply to the last.
func (p *Proxy) ask(requests [][]byte) ([]byte, error) {
	conn, err := dial(p.target)
	if err != nil {
		return nil, err
	}
	over := make(chan struct{})
	defer close(over)
	p.wg.Go(func() {
		select {
		case <-over:
		case <-p.done:
		}
		_ = conn.Close()
	})

	if !p.gate.pass(p.done, func() { _, err = conn.Write(bytes.Join(requests, nil)) }) {
		return nil, net.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	for left := len(requests); ; {
		raw, push, err := readReply(r)
		if err != nil {
			return nil, err
		}
		if push {
			continue
		}
		if left--; left == 0 {
			return raw, nil
		}
	}
}

// dial connects to a server on this machine.
func dial(addr string) (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second) //nolint:noctx // has a deadline of its own
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}
