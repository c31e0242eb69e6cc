package linearize

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// A Model says what Porcupine demands of the operations on one resource. Each is a mutex
// with leases, and what it names besides.
type Model struct {
	Name    string
	Owners  bool // whom Inspect names has it, and nobody where it names none
	Tokens  bool // tokens grow in the order of the grants, and are there where they have to be
	Answers bool // what Unlock, Extend, looks and Break say of a lock that is gone, or is not, and of its Until
}

// Models are those that a history is checked with.
var Models = []Model{
	{Name: "mutex with leases"},
	{Name: "with owners", Owners: true},
	{Name: "with tokens", Tokens: true},
	{Name: "with answers", Answers: true},
	{Name: "all together", Owners: true, Tokens: true, Answers: true},
}

// A state is that of the resource.
type state struct {
	holder int   // whose it is; 0 if nobody's
	lease  int   // how often the holder was granted it, by Lock and by extensions
	token  int64 // the largest that was granted
}

// A kind is that of an operation.
type kind int

const (
	// acquire is a grant: the resource is nobody's, and then the holder's.
	acquire kind = iota
	// keep is a grant to the one that has it already: an extension.
	keep
	// touch is a look that has found the lock valid.
	touch
	// expire is the end of a lease, which comes at its Until or later: if it has not been
	// extended or released by then, the resource is nobody's.
	expire
	// release is an Unlock that was told that it has released what was its own.
	release
	// leave is the end of a lock of which nobody knows how it has come to it.
	leave
	// gone is a call, or a context, that has told that the lock is not there any more.
	gone
	// remove is a Break: if the resource is that of the one that is named, it is nobody's.
	remove
	// missed is a Break that has told that another one has it.
	missed
	// held is an Inspect that has found this holder on a majority.
	held
	// free is one that has found nobody.
	free
	// counter is what an Inspect has found of the tokens: no less than any that was granted.
	counter
	// impossible is what a library that works says never, whatever the state is.
	impossible
)

// A part is what a model demands besides a mutex with leases.
type part int

const (
	ofOwners part = iota
	ofTokens
	ofAnswers
)

var kinds = [...]string{
	"grant", "extend", "valid", "lease over", "unlocked", "ends", "lost", "break", "break: another has it", "inspect: held",
	"inspect: free", "inspect: tokens", "impossible",
}

// An input is an operation of a model. Its output is nothing: what was told is in the kind.
type input struct {
	kind  kind
	part  part   // of what is impossible
	id    int    // of the section, from 1
	name  string // of the section
	lease int
	token int64
	text  string // for people
}

// wants reports whether the model has a use for an operation.
func (m *Model) wants(in *input) bool {
	switch in.kind {
	case impossible:
		return [...]bool{ofOwners: m.Owners, ofTokens: m.Tokens, ofAnswers: m.Answers}[in.part]
	case held, free:
		return m.Owners
	case counter:
		return m.Tokens
	case missed:
		return m.Answers
	default:
		return true
	}
}

// step is the model. It reports whether the operation can happen in a state, and what comes of it.
func (m *Model) step(s state, in *input) (possible bool, next state) {
	ours := s.holder == in.id
	switch in.kind {
	case acquire:
		if s.holder != 0 || m.Tokens && in.token != 0 && in.token <= s.token {
			return false, s
		}
		return true, state{in.id, in.lease, max(s.token, in.token)}
	case keep:
		s.lease = max(s.lease, in.lease) // what was asked for earlier may be heard of later
		return ours, s
	case touch, held:
		return ours, s
	case release:
		if m.Answers && !ours {
			return false, s
		}
	case gone:
		if m.Answers && ours {
			return false, s
		}
	case missed:
		return !ours, s
	case expire:
		ours = ours && s.lease == in.lease
	case free:
		return s.holder == 0, s
	case counter:
		return in.token >= s.token, s
	case impossible:
		return false, s
	case leave, remove:
	}
	if ours {
		s.holder, s.lease = 0, 0
	}
	return true, s
}

// porcupine returns the model as Porcupine takes it.
func (m *Model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, _ any) (bool, any) {
			possible, next := m.step(s.(state), in.(*input))
			return possible, next
		},
		DescribeOperation: func(in, _ any) string { return in.(*input).String() },
		DescribeState: func(s any) string {
			st := s.(state)
			if st.holder == 0 {
				return fmt.Sprintf("free, tokens up to %d", st.token)
			}
			return fmt.Sprintf("lock %d, lease %d, tokens up to %d", st.holder, st.lease, st.token)
		},
	}
}

func (in *input) String() string {
	text := kinds[in.kind]
	if in.name != "" {
		text += fmt.Sprintf(" %s (lock %d)", in.name, in.id)
	}
	if in.lease != 0 {
		text += fmt.Sprintf(", lease %d", in.lease)
	}
	if in.token != 0 {
		text += fmt.Sprintf(", token %d", in.token)
	}
	if in.text != "" {
		text += ": " + in.text
	}
	return text
}
