package linearize

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Keep writes what a model refuses into a directory: the history of the resource as it is
// and shrunk, as text and as Porcupine draws it. It returns the shrunk one as text.
func (v Verdict) Keep(h *History, dir string) (string, error) {
	name := strings.NewReplacer(" ", "-").Replace(v.Resource + "." + v.Model.Name)
	part := h.of(v.Resource)
	small := v.Model.shrink(part)
	text := v.Model.text(small)
	if err := os.WriteFile(filepath.Join(dir, name+".shrunk.txt"), []byte(text), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(v.Model.text(part)), 0o600); err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, e := range small.events() {
		line, err := json.Marshal(e)
		if err != nil {
			return "", err
		}
		lines.Write(append(line, '\n'))
	}
	if err := os.WriteFile(filepath.Join(dir, name+".shrunk.events"), []byte(lines.String()), 0o600); err != nil {
		return "", err
	}
	return text, v.Model.draw(small, filepath.Join(dir, name+".html"))
}

// draw has Porcupine draw a history of one resource, with the longest order of a part of it
// that the model takes.
func (m *Model) draw(h *History, path string) error {
	_, info := porcupine.CheckOperationsVerbose(m.porcupine(), m.operations(h), patienceOfShrink)
	return porcupine.VisualizePath(m.porcupine(), info, path)
}

// text returns the operations of a history of one resource in the order of their calls, in
// milliseconds from the first, and the faults that happened meanwhile.
func (m *Model) text(h *History) string {
	ops, end := m.operations(h), h.end()
	slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	last := ops[0].Call
	for _, op := range ops {
		last = max(last, op.Call)
		from, to := float64(op.Call-ops[0].Call)/1e6, "    open"
		if op.Return < end {
			to = fmt.Sprintf("%8.2f", float64(op.Return-ops[0].Call)/1e6)
		}
		fmt.Fprintf(&b, "%10.2f to %s ms  %v\n", from, to, op.Input.(*input))
	}
	for _, f := range h.Faults {
		if f.From < last && f.To > ops[0].Call {
			fmt.Fprintf(&b, "%10.2f to %8.2f ms  # %s\n", float64(f.From-ops[0].Call)/1e6, float64(f.To-ops[0].Call)/1e6, f.Name)
		}
	}
	return b.String()
}
