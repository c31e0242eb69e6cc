package model

// tidy forgets what makes no difference any more.
func (cfg *Config) tidy(s *state) {
	for c := range cfg.Clients {
		at := &s.clients[c]
		if at.phase != trying {
			at.floor = 0
		}
		onTheWay := s.copies > 0
		for n := range s.nodes {
			link := &s.nodes[n].links[c]
			onTheWay = onTheWay || link.step == sent
			cfg.tidyLink(at, link)
		}
		if !onTheWay && !cfg.Clock {
			at.proposal = 0
		}
		if at.phase == over && cfg.NoValidityCheck && at.token == 0 {
			continue
		}
		for n := range s.nodes {
			link := &s.nodes[n].links[c]
			switch {
			case at.phase == trying || link.step == sent || link.step == unsent:
			case link.step == raising && at.phase == over && at.token == 0: // may still come
			case link.step == raising && cfg.NoOwnerCheck:
			default:
				// What it knew does not matter. An extension does what a raise does.
				link.step, link.counter = finished, 0
			}
		}
	}
}

func (cfg *Config) tidyLink(at *client, link *link) {
	if cfg.Wrong || at.phase == over {
		link.extended = plain
	}
	if at.extended && link.extended == confirmed {
		link.extended = extended
	}
}

// A key is a state in few bits: one word a node, one for the rest. States that
// differ by the names of nodes and clients have the same one.
type key [Nodes + 1]uint64

// Widths of fields, in bits.
const (
	ownerBits    = 3
	counterBits  = 4
	stepBits     = 3
	extendedBits = 2
	phaseBits    = 2
	budgetBits   = 3
	budgetAt     = ownerBits + counterBits + MaxClients*(stepBits+counterBits+extendedBits)
)

// orders are the orders of clients, by their number.
var orders = [MaxClients + 1][][MaxClients]uint8{
	{{0, 1, 2}},
	{{0, 1, 2}},
	{{0, 1, 2}, {1, 0, 2}},
	{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}},
}

// pack returns the least of the keys that the state has by its names.
func pack(s *state, clients int) key {
	var least key
	for i, order := range orders[clients] {
		if k := s.pack(&order); i == 0 || k.less(&least) {
			least = k
		}
	}
	// The budgets are no part of a name.
	least[0] |= (uint64(s.attempts) | uint64(s.copies)<<budgetBits | uint64(s.losses)<<(2*budgetBits)) << budgetAt
	return least
}

// pack packs the state with the clients in an order: order[c] is the one that
// becomes c.
func (s *state) pack(order *[MaxClients]uint8) key {
	var k key
	var names [orphaned + 1]uint8
	names[orphaned] = orphaned
	for c, was := range order {
		names[was+1] = owner(c)
	}
	for n := range s.nodes {
		at := &s.nodes[n]
		w := writer{}
		w.put(names[at.owner], ownerBits)
		w.put(at.counter, counterBits)
		for _, was := range order {
			link := &at.links[was]
			w.put(uint8(link.step), stepBits)
			w.put(link.counter, counterBits)
			w.put(uint8(link.extended), extendedBits)
		}
		k[n] = w.word
	}
	if k[0] > k[1] {
		k[0], k[1] = k[1], k[0]
	}
	if k[1] > k[2] {
		k[1], k[2] = k[2], k[1]
	}
	if k[0] > k[1] {
		k[0], k[1] = k[1], k[0]
	}
	w := writer{}
	for _, was := range order {
		at := &s.clients[was]
		w.put(uint8(at.phase), phaseBits)
		w.put(at.token, counterBits)
		w.put(at.floor, counterBits)
		w.put(at.proposal, counterBits)
		w.flag(at.extended)
	}
	k[Nodes] = w.word | uint64(s.tokens)<<w.at
	return k
}

func (k *key) less(other *key) bool {
	for i := range k {
		if k[i] != other[i] {
			return k[i] < other[i]
		}
	}
	return false
}

func (k *key) unpack() state {
	var s state
	for n := range s.nodes {
		at := &s.nodes[n]
		r := reader{word: k[n]}
		at.owner, at.counter = r.get(ownerBits), r.get(counterBits)
		for c := range at.links {
			at.links[c] = link{step(r.get(stepBits)), r.get(counterBits), extension(r.get(extendedBits))}
		}
		if n == 0 {
			s.attempts, s.copies, s.losses = r.get(budgetBits), r.get(budgetBits), r.get(budgetBits)
		}
	}
	r := reader{word: k[Nodes]}
	for c := range s.clients {
		s.clients[c] = client{phase(r.get(phaseBits)), r.get(counterBits), r.get(counterBits), r.get(counterBits), r.get(1) == 1}
	}
	s.tokens = uint16(r.word) //nolint:gosec // what is left
	return s
}

func (k *key) hash() uint64 {
	h := uint64(0)
	for _, word := range k {
		h = (h ^ word) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

type writer struct {
	word uint64
	at   int
}

func (w *writer) put(value uint8, bits int) {
	if value >= 1<<bits {
		panic("model: a number does not fit")
	}
	w.word |= uint64(value) << w.at
	w.at += bits
}

func (w *writer) flag(value bool) {
	if value {
		w.word |= 1 << w.at
	}
	w.at++
}

type reader struct{ word uint64 }

func (r *reader) get(bits int) uint8 {
	value := uint8(r.word & (1<<bits - 1)) //nolint:gosec // cut to few bits
	r.word >>= bits
	return value
}
