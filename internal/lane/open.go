package lane

// Open returns how many places are taken and not done, without those that were given up
// on a node that has answered others since.
func (t *Table) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// Idle returns a channel that is closed once no place is open.
func (t *Table) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.settle()
	return idle
}

// Begin counts work that is no place, such as telling somebody of one, as open
// until End.
func (t *Table) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
}

// End ends what Begin began.
func (t *Table) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.settle()
}

// Go runs f on a goroutine that counts as open.
func (t *Table) Go(f func()) {
	t.Begin()
	go func() {
		defer t.End()
		f()
	}()
}

func (t *Table) settle() {
	if t.open == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}
