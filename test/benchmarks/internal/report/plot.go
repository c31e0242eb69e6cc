package report

import (
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Plot is a picture of one column of a result.
type Plot struct {
	Title  string `json:"title"`
	Column string `json:"column"`
	// Curve has the rows stand at their X, joined by library; otherwise each
	// setup is a place on the axis.
	Curve bool   `json:"curve,omitempty"`
	XName string `json:"x_name,omitempty"`
	LogX  bool   `json:"log_x,omitempty"`
	LogY  bool   `json:"log_y,omitempty"`
}

const (
	plotWidth  = 20 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
	lineWidth  = 1.5
	markRadius = 4
	titleWidth = 56 // in characters
	legendGap  = 8
	legendDrop = 45  // the height of the title
	legendFont = 1.3 // where the font is missing, another one that is wider takes its place
)

func (p Plot) file(r *Result) string { return r.Case + "-" + slug(p.Column) + ".svg" }

// slug returns a text as a part of a file's name.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	return strings.Join(words, "-")
}

// wrap breaks a text into lines of at most width characters, where its words
// allow that.
func wrap(text string, width int) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+1+len(word) > width:
			b.WriteByte('\n')
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// draw writes the picture to its file in dir.
func (p Plot) draw(dir string, r *Result) error {
	i := slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == p.Column })
	if i < 0 {
		return nil // the result is older than the plot
	}
	column := r.Columns[i]
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	picture := plot.New()
	picture.TextHandler.Cache().Add(liberation.Collection())
	picture.Title.Text = p.Title + "\n" + wrap(r.Title, titleWidth)
	picture.Title.Padding = vg.Points(8)
	picture.Y.Label.Text = column.label()
	picture.X.Label.Text = p.XName
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = color.Gray{Y: 0xdd}
	picture.Add(grid)

	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.XOffs = true, true, legendGap
	legend.Padding = vg.Points(3)
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range p.series(r, column) {
		if err := s.add(picture, &legend, p.Curve); err != nil {
			return err
		}
		for _, at := range s.points {
			low, high = min(low, at.Y), max(high, at.Y)
		}
	}
	p.axes(picture, r, column, low, high)

	canvas := vgsvg.New(plotWidth, plotHeight)
	whole := draw.New(canvas)
	right := legend.Rectangle(whole).Size().X*legendFont + 2*legendGap
	picture.Draw(draw.Crop(whole, 0, -right, 0, 0))
	legend.Draw(draw.Crop(whole, plotWidth-right, 0, 0, -legendDrop))
	return writeFile(filepath.Join(dir, p.file(r)), canvas)
}

// A series is what a plot shows of one library.
type series struct {
	name   string
	points plotter.XYs
	color  color.Color
	shape  draw.GlyphDrawer
	dashes []vg.Length
}

// series returns the finite figures of each library.
func (p Plot) series(r *Result, column Column) []*series {
	var all []*series
	setups := r.setups()
	for _, row := range r.Rows {
		y := r.Value(row, column)
		x := row.X
		if !p.Curve {
			x = float64(slices.Index(setups, row.Setup))
		}
		if math.IsNaN(y) || math.IsInf(y, 0) || p.LogY && y <= 0 || p.LogX && x <= 0 {
			continue
		}
		i := slices.IndexFunc(all, func(s *series) bool { return s.name == row.Library })
		if i < 0 {
			i = len(all)
			all = append(all, newSeries(row.Library))
		}
		all[i].points = append(all[i].points, plotter.XY{X: x, Y: y})
	}
	if !p.Curve {
		for i, s := range all { // side by side, or they would hide each other
			for j := range s.points {
				s.points[j].X += 0.6 * (float64(i) - float64(len(all)-1)/2) / float64(max(len(all), 2))
			}
		}
	}
	return all
}

// setups returns the setups in the order of the rows.
func (r *Result) setups() []string {
	var all []string
	for _, row := range r.Rows {
		if !slices.Contains(all, row.Setup) {
			all = append(all, row.Setup)
		}
	}
	return all
}

// colors tell the libraries apart, for the colour-blind too.
var colors = []struct {
	prefix string
	color  color.Color
}{
	{"redlock", color.RGBA{0x00, 0x72, 0xb2, 0xff}},
	{"redsync", color.RGBA{0xd5, 0x5e, 0x00, 0xff}},
	{"redislock", color.RGBA{0x00, 0x9e, 0x73, 0xff}},
	{"rueidislock", color.RGBA{0xcc, 0x79, 0xa7, 0xff}},
	{"", color.Gray{Y: 0x66}},
}

// newSeries has the same look in every plot: the colour is the library's, the
// mark and the line its variant's.
func newSeries(name string) *series {
	s := &series{name: name, shape: draw.CircleGlyph{}}
	for _, c := range colors {
		if strings.HasPrefix(name, c.prefix) {
			s.color = c.color
			break
		}
	}
	if _, variant, found := strings.Cut(name, ", "); found {
		s.shape, s.dashes = draw.PyramidGlyph{}, dashes(6)
		if !strings.Contains(variant, "AutoPipeline") {
			s.shape, s.dashes = draw.BoxGlyph{}, dashes(2)
		}
	}
	return s
}

func (s *series) add(picture *plot.Plot, legend *plot.Legend, joined bool) error {
	line, marks, err := plotter.NewLinePoints(s.points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = s.color, vg.Points(lineWidth), s.dashes
	marks.Color, marks.Shape, marks.Radius = s.color, s.shape, vg.Points(markRadius)
	if joined {
		picture.Add(line, marks)
		legend.Add(s.name, line, marks)
		return nil
	}
	picture.Add(marks)
	legend.Add(s.name, marks)
	return nil
}

func dashes(points float64) []vg.Length { return []vg.Length{vg.Points(points), vg.Points(points)} }
