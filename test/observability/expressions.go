// Package observability checks the dashboard and the alert rules in docs/observability
// against what the library writes through OpenTelemetry's Prometheus exporter, and draws
// the picture of the dashboard that stands there.
package observability

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Panel is one of the dashboard's, as far as it is drawn.
type Panel struct {
	Title   string
	Targets []Target
	Unit    string // of Grafana: "s", "ops" or "short"
}

// A Target is a query of a panel.
type Target struct {
	Expr   string `json:"expr"`
	Legend string `json:"legendFormat"`
}

// Panels reads the panels of a Grafana dashboard, without its rows.
func Panels(file string) ([]Panel, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, err
	}
	var d struct {
		Panels []struct {
			Type, Title string
			Targets     []Target
			FieldConfig struct{ Defaults struct{ Unit string } }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var panels []Panel
	for _, p := range d.Panels {
		if p.Type != "row" {
			panels = append(panels, Panel{Title: p.Title, Targets: p.Targets, Unit: p.FieldConfig.Defaults.Unit})
		}
	}
	return panels, nil
}

// Expand puts values in the place of the dashboard's variables.
func Expand(expr, job, interval string) string {
	return strings.NewReplacer("$job", job, "$__rate_interval", interval).Replace(expr)
}

// Rules are a file of alert rules of Prometheus.
type Rules struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval,omitempty"`
		Rules    []Rule `yaml:"rules"`
	} `yaml:"groups"`
}

// A Rule is an alert.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// ReadRules reads alert rules.
func ReadRules(file string) (*Rules, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, err
	}
	var r Rules
	if err := yaml.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

// Alerts returns all rules.
func (r *Rules) Alerts() []Rule {
	var all []Rule
	for _, g := range r.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Hasten makes every alert fire as soon as its condition has lasted for.
func (r *Rules) Hasten(interval, lasting string) {
	for i := range r.Groups {
		r.Groups[i].Interval = interval
		for j := range r.Groups[i].Rules {
			if r.Groups[i].Rules[j].For != "" {
				r.Groups[i].Rules[j].For = lasting
			}
		}
	}
}

var (
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	selector = regexp.MustCompile(`\bredlock_\w+(?:\{[^}]*\})?`)
	labels   = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

// Selectors returns the selectors of series in an expression, each once.
func Selectors(expr string) []string {
	found := selector.FindAllString(grouping.ReplaceAllString(expr, ""), -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// Labels returns the labels that an expression groups by, each once.
func Labels(expr string) []string {
	var found []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			found = append(found, strings.TrimSpace(label))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Name returns the name of a series by a format of Grafana's legends.
func Name(format string, series map[string]string) string {
	name := labels.ReplaceAllStringFunc(format, func(s string) string {
		return series[labels.FindStringSubmatch(s)[1]]
	})
	return strings.Trim(strings.Join(strings.Fields(name), " "), ": ")
}
