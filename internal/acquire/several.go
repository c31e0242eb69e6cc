package acquire

// several reports whether the request is for more than one resource.
func (r *Request) several() bool { return r.Hold.Group != nil }

// watch has a request for several resources told when one of them is unlocked here,
// if it is going to wait.
func (r *Request) watch() {
	if r.several() && !r.Single() {
		r.calls.Queues.Watch(r.Hold.Group, r.Hold.Resources)
	}
}

// tried lets those go on that wait for the end of an attempt, which was refused.
func (r *Request) tried() {
	if r.Hold.Group != nil {
		r.Hold.Group.Asked()
	} else {
		r.Hold.Place.Tried()
	}
}

// woken returns a channel that tells when there is a reason to try again: the hold
// has a place in the line of its Locker or, for several resources, in none.
func (r *Request) woken() <-chan struct{} {
	if r.Hold.Group != nil {
		return r.Hold.Group.Woken()
	}
	return r.Hold.Place.Woken()
}

// leaveLine gives up waiting, as [waitqueue.Place.Leave] does.
func (r *Request) leaveLine() (gate int, owed bool) {
	if r.Hold.Group != nil {
		r.Hold.Group.Leave()
		return 0, false
	}
	return r.Hold.Place.Leave()
}

// occupy has others of the Locker wait for the end of the hold.
func (r *Request) occupy() {
	if h := r.Hold; h.Group != nil {
		r.calls.Queues.HoldAll(h.Group, h.Resources, h)
	} else {
		r.calls.Queues.Hold(&h.Place, r.resource, h)
	}
}
