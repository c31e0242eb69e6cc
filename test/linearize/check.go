package linearize

import (
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patienceOfCheck is how long Porcupine may take for one resource and one model. If it is
// not done by then that is no proof of anything, and fails the run.
const patienceOfCheck = 2 * time.Minute

// patienceOfShrink is how long it may take to find that a part of a history fails.
const patienceOfShrink = 10 * time.Second

// A Verdict is what a model says of the history of one resource.
type Verdict struct {
	Resource   string
	Model      *Model
	Result     porcupine.CheckResult
	Operations int
	Took       time.Duration
}

func (v Verdict) String() string {
	return fmt.Sprintf("%s: %s: %s, %d operations, %v", v.Resource, v.Model.Name, strings.ToLower(string(v.Result)), v.Operations, v.Took.Round(time.Millisecond))
}

// Check returns what each of the models says of each resource.
func Check(h *History) []Verdict {
	var all []Verdict
	for _, resource := range h.resources() {
		part := h.of(resource)
		for i := range Models {
			m := &Models[i]
			begun := time.Now()
			ops := m.operations(part)
			result := porcupine.CheckOperationsTimeout(m.porcupine(), ops, patienceOfCheck)
			all = append(all, Verdict{resource, m, result, len(ops), time.Since(begun)})
		}
	}
	return all
}

// operations returns those of a history of one resource that the model has a use for.
func (m *Model) operations(h *History) []porcupine.Operation {
	var all []porcupine.Operation
	for _, op := range operations(h) {
		if m.wants(op.Input.(*input)) {
			all = append(all, op)
		}
	}
	return all
}

// fails reports whether the model refuses the history of one resource.
func (m *Model) fails(h *History) bool {
	return porcupine.CheckOperationsTimeout(m.porcupine(), m.operations(h), patienceOfShrink) == porcupine.Illegal
}
