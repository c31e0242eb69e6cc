package observability

import (
	"errors"
	"flag"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

const (
	dashboardFile = "../../docs/observability/dashboard.json"
	alertsFile    = "../../docs/observability/alerts.yml"
)

var (
	svg   = flag.String("svg", "", "`file` to draw the dashboard's panels into")
	phase = flag.Duration("phase", 0, "how long each phase of the run lasts at least")
)

func TestMain(m *testing.M) { rig.Main(m) }

// A story is a run of a world beside a Prometheus that watches it.
type story struct {
	*world
	*watcher
	began time.Time
	bands []Band
}

// goOn lets the world be until something is true, and for a phase at least.
func (s *story) goOn(t *testing.T, what string, until func() bool) {
	t.Helper()
	least := time.Now().Add(*phase)
	require.True(t, rig.Poll(rig.Patience+*phase, func() bool {
		return until() && time.Now().After(least)
	}), "never %s", what)
}

// during marks the time until something is true.
func (s *story) during(t *testing.T, label, what string, until func() bool) {
	t.Helper()
	from := time.Since(s.began)
	s.goOn(t, what, until)
	s.bands = append(s.bands, Band{Label: label, From: from, To: time.Since(s.began)})
}

func TestTheDashboardAndTheRulesFindTheirSeriesAndAlertsFire(t *testing.T) {
	program(t, "prometheus") // before anything is started
	rules, err := ReadRules(alertsFile)
	require.NoError(t, err)
	rules.Hasten(step.String(), "500ms")
	w := newWorld(t)
	s := &story{world: w, watcher: watch(t, w.target, rules), began: time.Now()}

	s.goOn(t, "scraped", func() bool { return s.finds(t, `redlock_lock_duration_seconds_count{redlock_result="acquired"}`) })
	s.freezeOne(t)
	s.freezeTwo(t)
	s.lose(t)

	for _, expr := range expressions(t, rules) {
		s.findAll(t, expr)
	}
	if *svg != "" {
		s.draw(t)
	}
}

// freezeOne stops a node until the alert names it, and lets it go on until it has answered late.
func (s *story) freezeOne(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.nodes[2].Addr())
	require.NoError(t, err)
	s.nodes[2].Freeze()
	s.during(t, "one node frozen", "an alert for each way to name a node", func() bool {
		ports := map[string]bool{}
		for _, labels := range s.firing(t, "RedlockNodeFails") {
			ports[labels["server_port"]+labels["redlock_node_number"]] = true
		}
		return ports[port] && ports["3"]
	})
	s.nodes[2].Thaw()
	s.goOn(t, "late replies", func() bool {
		return s.finds(t, `redlock_node_late_replies_total{server_port="`+port+`"}`) &&
			s.finds(t, `redlock_node_late_replies_total{redlock_node_number="3"}`)
	})
}

// freezeTwo stops a majority until that has its alert.
func (s *story) freezeTwo(t *testing.T) {
	t.Helper()
	s.nodes[1].Freeze()
	s.nodes[2].Freeze()
	extended := make(chan error, 1)
	go func() { extended <- s.kept.Extend(t.Context(), time.Hour) }()
	s.during(t, "two nodes frozen", "an alert", func() bool {
		return len(s.firing(t, "RedlockNoQuorum")) > 0 &&
			s.finds(t, `redlock_extend_duration_seconds_count{redlock_result="no_quorum"}`)
	})
	require.ErrorIs(t, rig.Within(t, extended), redlock.ErrNoQuorum)
	s.nodes[1].Thaw()
	s.nodes[2].Thaw()
	s.goOn(t, "extended again", func() bool { return s.kept.Extend(t.Context(), time.Hour) == nil })
}

// lose ends locks before their time until that has its alert.
func (s *story) lose(t *testing.T) {
	t.Helper()
	require.True(t, rig.Poll(rig.Patience, func() bool { return s.kept.Unlock(t.Context()) == nil }))
	s.keep(t) // another one, as the picture has how long that was held
	s.wipe(t)
	require.True(t, rig.Poll(rig.Patience, func() bool {
		return errors.Is(s.kept.Extend(t.Context(), time.Hour), redlock.ErrLockLost)
	}))
	s.leave(t)
	s.during(t, "two nodes wiped", "an alert for each way to lose a lock", func() bool {
		return len(s.firing(t, "RedlockLocksLost")) == 2
	})
}

// expressions returns what the dashboard and the rules ask, without the dashboard's variables.
func expressions(t *testing.T, rules *Rules) []string {
	t.Helper()
	var all []string
	panels, err := Panels(dashboardFile)
	require.NoError(t, err)
	for _, p := range panels {
		for _, target := range p.Targets {
			all = append(all, Expand(target.Expr, job, "3s"))
		}
	}
	for _, alert := range rules.Alerts() {
		all = append(all, alert.Expr)
	}
	return all
}

// findAll asks for every series that expr names, and for every label by which it groups.
func (s *story) findAll(t *testing.T, expr string) {
	t.Helper()
	selectors := Selectors(expr)
	require.NotEmpty(t, selectors, expr)
	for _, selector := range selectors {
		assert.True(t, s.finds(t, selector), "no series %s", selector)
	}
	for _, label := range Labels(expr) {
		found := false
		for _, selector := range selectors {
			name, matchers, narrowed := strings.Cut(strings.TrimSuffix(selector, "}"), "{")
			if narrowed {
				matchers += ","
			}
			found = found || s.finds(t, name+"{"+matchers+label+`!=""}`)
		}
		assert.True(t, found, "no label %s in %s", label, expr)
	}
	// What only a bound keeps from having a result.
	bare, _, _ := strings.Cut(strings.TrimSpace(expr), " > ")
	assert.True(t, s.finds(t, bare), "nothing is found by %s", bare)
}

// draw writes the picture of the run.
func (s *story) draw(t *testing.T) {
	t.Helper()
	panels, err := Panels(dashboardFile)
	require.NoError(t, err)
	end := time.Now()
	var plots []Plot
	for _, p := range panels {
		plot := Plot{Panel: p}
		for _, target := range p.Targets {
			target.Expr = Expand(target.Expr, job, "3s")
			plot.Series = append(plot.Series, s.history(t, target, s.began, end)...)
		}
		plots = append(plots, plot)
	}
	title := "One frozen node of three stops no lock, two stop all, and two that are wiped lose some"
	require.NoError(t, os.WriteFile(*svg, Draw(title, plots, s.bands, end.Sub(s.began)), 0o600))
}
