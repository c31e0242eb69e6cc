package round

import (
	"context"
	"time"
)

// undo removes what an attempt may have left that did not come to its end, because ctx
// panicked or called runtime.Goexit: nobody else knows of the grant. The caller leaves the
// line.
func (g *Grant) undo(ctx context.Context, returned **Grant, timeout time.Duration) {
	if *returned != nil {
		return
	}
	mode := Pop
	if g.gate != nil && g.gate.came != "" {
		mode = Keep
	}
	g.Release(ctx, timeout, mode)
}
