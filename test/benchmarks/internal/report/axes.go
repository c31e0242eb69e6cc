package report

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
)

// label returns what is written at the axis of a column.
func (c Column) label() string {
	switch c.Unit {
	case "", "s":
		return c.Name
	default:
		return c.Name + ", " + c.Unit
	}
}

// axes sets the ranges of a picture and where it has ticks.
func (p Plot) axes(picture *plot.Plot, r *Result, column Column, low, high float64) {
	switch {
	case low > high: // nothing to show
		low, high = 1, 10
	case p.LogY:
		low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high*1.01)))
	default:
		low, high = 0, high*1.15
	}
	picture.Y.Min, picture.Y.Max = low, high
	if p.LogY {
		picture.Y.Scale = plot.LogScale{}
		picture.Y.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick { return decades(column, low, high) })
	} else {
		picture.Y.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick {
			return relabel(plot.DefaultTicks{}.Ticks(low, high), column)
		})
	}
	if !p.Curve {
		setups := r.setups()
		picture.X.Min, picture.X.Max = -0.5, float64(len(setups))-0.5
		picture.NominalX(setups...)
		if r.Setup != "" {
			picture.X.Label.Text = r.Setup
		}
		return
	}
	if p.LogX {
		picture.X.Scale = plot.LogScale{}
	}
	picture.X.Tick.Marker = plot.ConstantTicks(p.places(r))
}

// decades returns a tick at each power of ten.
func decades(column Column, low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for v := low; v <= high*1.001; v *= 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: column.format(v)})
		for i := 2.0; i < 10 && v*i < high; i++ {
			ticks = append(ticks, plot.Tick{Value: v * i})
		}
	}
	return ticks
}

// relabel writes ticks as the tables write figures.
func relabel(ticks []plot.Tick, column Column) []plot.Tick {
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = column.format(ticks[i].Value)
		}
	}
	return ticks
}

// places returns a tick wherever a row stands.
func (p Plot) places(r *Result) []plot.Tick {
	var ticks []plot.Tick
	seen := make(map[float64]bool)
	for _, row := range r.Rows {
		if !seen[row.X] {
			seen[row.X] = true
			ticks = append(ticks, plot.Tick{Value: row.X, Label: strconv.FormatFloat(row.X, 'f', -1, 64)})
		}
	}
	return ticks
}

func writeFile(path string, content io.WriterTo) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // in the directory of the results
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err = content.WriteTo(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
