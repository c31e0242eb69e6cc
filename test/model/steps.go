package model

import "fmt"

// A stepper makes the steps that are possible in one state.
type stepper struct {
	cfg *Config
	// visit is given each state that is one step away. what names the step; broken
	// says which promise it breaks, if any.
	visit func(next *state, what func() string, broken string)
}

// steps visits what can come after s.
func (p *stepper) steps(s *state) {
	if !s.live(p.cfg) {
		return
	}
	for c := range p.cfg.Clients {
		p.begin(s, c)
		p.end(s, c)
		for n := range Nodes {
			p.answer(s, c, n)
			p.repeat(s, c, n)
			p.deliver(s, c, n)
			p.raise(s, c, n)
			p.extend(s, c, n)
			p.arm(s, c, n)
		}
	}
	for n := range Nodes {
		p.expire(s, n)
		p.lose(s, n)
	}
}

// live reports whether anything can be granted yet.
func (s *state) live(cfg *Config) bool {
	live := s.attempts > 0
	for c := range s.clients {
		at := &s.clients[c]
		live = live || at.phase == trying || cfg.NoValidityCheck && at.phase == over && at.token == 0
	}
	return live
}

// begin has a client ask all nodes. What it sent in an earlier attempt is lost by
// then, but not what that has left on the nodes.
func (p *stepper) begin(s *state, c int) {
	now := &s.clients[c]
	if s.attempts == 0 || !p.cfg.Wrong && now.phase != idle && now.phase != over {
		return
	}
	proposals := p.cfg.Proposals
	if p.cfg.Clock {
		largest := s.last()
		for n := range Nodes {
			largest = max(largest, s.nodes[n].counter)
		}
		for i := range s.clients {
			largest = max(largest, s.clients[i].proposal)
		}
		proposals = []uint8{largest + 1}
	}
	for _, proposal := range proposals {
		next := *s
		next.attempts--
		next.clients[c] = client{phase: trying, proposal: proposal}
		if p.cfg.Wrong || p.cfg.Clock {
			next.clients[c].floor = s.last()
		}
		for n := range Nodes {
			next.nodes[n].links[c] = link{step: sent}
			if next.nodes[n].owner == owner(c) {
				next.nodes[n].owner = orphaned
			}
		}
		p.visit(&next, func() string { return fmt.Sprintf("client %d asks all nodes and proposes %d", c, proposal) }, "")
	}
}

// end has a client give up, crash, let go, or see the end of its lock's validity.
// Where that has no effect on the nodes, it is like doing nothing.
func (p *stepper) end(s *state, c int) {
	if p.cfg.Wrong || s.clients[c].phase != trying && s.clients[c].phase != holding {
		return
	}
	next := *s
	next.clients[c].phase = over
	p.visit(&next, func() string { return fmt.Sprintf("it is over for client %d", c) }, "")
}

// take is the acquire script. It returns the answer, 0 for a refusal.
func (n *node) take(c int, proposal uint8) uint8 {
	switch n.owner {
	case nobody:
		n.owner, n.counter = owner(c), max(n.counter+1, proposal)
	case owner(c):
		if n.counter == 0 {
			n.counter = max(1, proposal)
		}
	default:
		return 0
	}
	return n.counter
}

// answer has a node process an acquire.
func (p *stepper) answer(s *state, c, n int) {
	if s.nodes[n].links[c].step != sent {
		return
	}
	next := *s
	count := next.nodes[n].take(c, s.clients[c].proposal)
	link := &next.nodes[n].links[c]
	link.step, link.counter = granted, count
	if count == 0 {
		link.step = finished
	}
	p.visit(&next, func() string { return fmt.Sprintf("node %d answers client %d: %d", n, c, count) }, "")
}

// repeat has a node process an acquire again: the first answer was lost, unless it
// has arrived already; then the second one is.
func (p *stepper) repeat(s *state, c, n int) {
	if at := s.nodes[n].links[c].step; s.copies == 0 || at == unsent || at == sent {
		return
	}
	next := *s
	next.copies--
	count := next.nodes[n].take(c, s.clients[c].proposal)
	if link := &next.nodes[n].links[c]; link.step == granted {
		link.counter = count
		if count == 0 {
			link.step = finished
		}
	}
	p.visit(&next, func() string { return fmt.Sprintf("node %d answers client %d again: %d", n, c, count) }, "")
}

// deliver has an answer arrive, and the client do what follows from it.
func (p *stepper) deliver(s *state, c, n int) {
	late := p.cfg.NoValidityCheck && s.clients[c].phase == over && s.clients[c].token == 0
	if s.clients[c].phase != trying && !late {
		return
	}
	if at := s.nodes[n].links[c].step; at != granted && at != raised {
		return
	}
	next := *s
	next.nodes[n].links[c].step = known
	broken := p.decide(&next, c)
	p.visit(&next, func() string {
		text := fmt.Sprintf("client %d hears from node %d: %d", c, n, s.nodes[n].links[c].counter)
		if token := next.clients[c].token; token != 0 {
			text += fmt.Sprintf(", and has the lock with token %d", token)
		}
		return text
	}, broken)
}

// decide grants the lock to a client, or has it raise counters, if what it knows is
// enough for that. It returns the promise that a grant breaks.
func (p *stepper) decide(s *state, c int) (broken string) {
	var token uint8
	mine, there := 0, 0
	for n := range s.nodes {
		switch link := &s.nodes[n].links[c]; link.step {
		case known:
			mine++
			switch {
			case link.counter > token:
				token, there = link.counter, 1
			case link.counter == token:
				there++
			}
		case raising, raised:
			mine++
		default: // does not count
		}
	}
	switch {
	case mine < majority:
		return ""
	case there >= majority, p.cfg.NoWriteBack:
		return p.grant(s, c, token)
	}
	for n := range s.nodes {
		if link := &s.nodes[n].links[c]; link.step == known && link.counter < token {
			link.step, link.counter = raising, token
		}
	}
	return ""
}

func (p *stepper) grant(s *state, c int, token uint8) (broken string) {
	bit := uint16(1) << token
	switch {
	case p.cfg.Clock && s.clients[c].floor != s.last():
		// Its proposal is older than the last grant: it covers nothing.
	case s.tokens&bit != 0:
		broken = fmt.Sprintf("token %d is issued twice", token)
	case token <= s.clients[c].floor, !p.cfg.Wrong && bit < s.tokens:
		broken = fmt.Sprintf("token %d is granted after a larger one", token)
	case !p.cfg.NoWriteBack && p.cfg.Losses == 0 && s.standing(token) < majority:
		broken = fmt.Sprintf("token %d does not stand on a majority", token)
	}
	for i := range s.clients {
		if !p.cfg.Wrong && p.cfg.Losses == 0 && s.clients[i].phase == holding && broken == "" {
			broken = fmt.Sprintf("clients %d and %d hold the lock", i, c)
		}
	}
	if s.tokens |= bit; !p.cfg.Wrong {
		s.tokens = 1 << s.last() // that is enough
	}
	s.clients[c].phase, s.clients[c].token = holding, token
	return broken
}

// raise is the raise script.
func (p *stepper) raise(s *state, c, n int) {
	if s.nodes[n].links[c].step != raising {
		return
	}
	next := *s
	node := &next.nodes[n]
	link := &node.links[c]
	if node.owner == owner(c) || p.cfg.NoOwnerCheck {
		node.counter = max(node.counter, link.counter)
		link.step, link.counter = raised, node.counter
	} else {
		link.step = finished
	}
	p.visit(&next, func() string {
		if link.step == finished {
			return fmt.Sprintf("node %d is not raised: it is not client %d's", n, c)
		}
		return fmt.Sprintf("node %d is raised for client %d, to %d", n, c, node.counter)
	}, "")
}

// extend has an extension come to a node, or its answer to the client.
func (p *stepper) extend(s *state, c, n int) {
	now, was := &s.clients[c], &s.nodes[n].links[c]
	if now.token == 0 {
		return
	}
	next := *s
	node, client := &next.nodes[n], &next.clients[c]
	switch ours := s.nodes[n].owner == owner(c); {
	case ours && (was.extended == plain && now.phase == holding && !p.cfg.Wrong || node.counter < now.token):
		node.counter = max(node.counter, now.token)
		if was.extended == plain {
			node.links[c].extended = extended
		}
		p.visit(&next, func() string { return fmt.Sprintf("client %d extends node %d", c, n) }, "")
	case was.extended == extended && now.phase == holding && !now.extended && !p.cfg.Wrong:
		node.links[c].extended = confirmed
		count := 0
		for i := range next.nodes {
			if next.nodes[i].links[c].extended == confirmed {
				count++
			}
		}
		client.extended = count >= majority
		p.visit(&next, func() string { return fmt.Sprintf("client %d hears that node %d is extended", c, n) }, "")
	}
}

// arm has the value of an extended lock put on a node again that has lost it, as late
// and as often as it likes.
func (p *stepper) arm(s *state, c, n int) {
	now, node := &s.clients[c], &s.nodes[n]
	may := now.extended || p.cfg.Wrong && now.token != 0
	if !may || node.owner != nobody {
		return
	}
	next := *s
	at := &next.nodes[n]
	at.owner, at.counter = owner(c), max(at.counter, now.token)
	p.visit(&next, func() string { return fmt.Sprintf("client %d puts its value on node %d again", c, n) }, "")
}

// expire has a key go: it runs out, or is released.
func (p *stepper) expire(s *state, n int) {
	at := &s.nodes[n]
	if at.owner == nobody {
		return
	}
	if c := int(at.owner) - 1; at.owner != orphaned && !p.cfg.Wrong && s.clients[c].phase != over {
		// An extension leaves behind the nodes that it did not come to.
		if !s.clients[c].extended || at.links[c].extended != plain {
			return
		}
	}
	next := *s
	next.nodes[n].owner = nobody
	p.visit(&next, func() string { return fmt.Sprintf("the key on node %d is gone", n) }, "")
}

// lose has a node lose its counter, with the key or without.
func (p *stepper) lose(s *state, n int) {
	if s.losses == 0 || s.nodes[n].counter == 0 {
		return
	}
	for _, key := range []bool{false, true} {
		next := *s
		next.losses--
		next.nodes[n].counter = 0
		if key {
			next.nodes[n].owner = nobody
		}
		if p.cfg.Spared && !next.spared(n) {
			continue
		}
		p.visit(&next, func() string { return fmt.Sprintf("node %d loses its counter (its key too: %t)", n, key) }, "")
	}
}

// spared reports whether the loss of a counter is one that the others make up for:
// a majority stands at the last token, and nobody who is trying has been there
// before it did.
func (s *state) spared(lost int) bool {
	if s.answered(lost) {
		return false
	}
	count := 0
	for n := range s.nodes {
		if s.nodes[n].counter >= s.last() && !s.answered(n) {
			count++
		}
	}
	return count >= majority
}

// answered reports whether somebody who is trying may count on a node.
func (s *state) answered(n int) bool {
	for c := range s.clients {
		at := s.nodes[n].links[c].step
		if s.clients[c].phase == trying && at != sent && at != finished {
			return true
		}
	}
	return false
}

// owner returns what a node calls a client.
func owner(c int) uint8 { return uint8(c) + 1 } //nolint:gosec // small
