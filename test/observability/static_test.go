package observability

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func TestPromtoolAcceptsTheRulesAndTheirTests(t *testing.T) {
	promtool := program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", alertsFile}, {"test", "rules", "testdata/alerts.yml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput() //nolint:gosec // the test's own program
		assert.NoError(t, err, "promtool %v:\n%s", args, out)
	}
}

func TestTheDashboardHasGrafanasSchemaAndOneRowForEachSubject(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	var d dashboard.Dashboard                           //nolint:staticcheck // the schema that every Grafana imports
	if err := d.UnmarshalJSONStrict(text); err != nil { // a list of errors, which is empty if all is well
		require.Empty(t, err.Error())
	}
	d = dashboard.Dashboard{} //nolint:staticcheck // again, as that list has kept it from reading panels
	require.NoError(t, json.Unmarshal(text, &d))
	require.NoError(t, d.Validate())
	assert.Equal(t, dashboard.NewDashboard().SchemaVersion, d.SchemaVersion)

	var rows []string
	ids := map[uint32]bool{}
	line := uint32(0) // that is free below what is there
	for _, p := range d.Panels {
		if row := p.RowPanel; row != nil {
			rows = append(rows, *row.Title)
			assert.Equal(t, dashboard.GridPos{H: 1, W: 24, Y: line}, *row.GridPos, *row.Title)
			ids[row.Id] = true
			line++
			continue
		}
		ids[*p.Panel.Id] = true
		assert.Equal(t, line, p.Panel.GridPos.Y, *p.Panel.Title)
		if g := p.Panel.GridPos; g.X+g.W == 24 { // the last one beside each other
			line = g.Y + g.H
		}
	}
	assert.Len(t, ids, len(d.Panels), "each has an id of its own")
	assert.Equal(t, []string{
		"Lock: rate and latency, by result", "Waiting", "Held", "Losses", "Node errors, by address", "Late replies", "Hold time",
	}, rows)
}

func TestTheReadmeSaysWhatToDoAboutEachAlert(t *testing.T) {
	text, err := os.ReadFile("../../docs/observability/README.md")
	require.NoError(t, err)
	rules, err := ReadRules(alertsFile)
	require.NoError(t, err)
	for _, alert := range rules.Alerts() {
		assert.Contains(t, string(text), "\n### "+alert.Alert+"\n")
		assert.Regexp(t, "#"+strings.ToLower(alert.Alert)+"$", alert.Annotations["runbook_url"])
	}
}

func TestTheReadmeShowsCodeOfTheExampleAsItIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/observability/README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := rig.Fence.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		assert.Contains(t, string(example), "\n"+block[2])
	}
}
