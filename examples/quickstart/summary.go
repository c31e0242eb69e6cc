package main

import (
	"bytes"
	"fmt"
	"io"
)

// summarize prints the end of the story and returns the number of overlaps.
func (j *journal) summarize(stdout io.Writer, n *nodes) (overlaps int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := &bytes.Buffer{}
	var sections, errs int
	for _, count := range j.sections {
		sections += count
	}
	for _, f := range j.failures {
		errs += f.count
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "sections run      %d in %.1fs\n", sections, j.elapsed().Seconds())
	fmt.Fprintf(w, "overlaps          %d\n", j.overlaps)
	if j.lost > 0 {
		fmt.Fprintf(w, "locks lost        %d: their sections were told to end\n", j.lost)
	}
	fmt.Fprintf(w, "longest wait      %v (worker %d)\n", round(j.longest.time), j.longest.worker+1)
	fmt.Fprintf(w, "node errors seen  %d\n", errs)
	for i, f := range j.failures {
		if f.count > 0 {
			fmt.Fprintf(w, "  %s: %d, the last one: %v\n", n.name(i), f.count, f.last)
		}
	}
	_, _ = stdout.Write(w.Bytes())
	return j.overlaps
}
