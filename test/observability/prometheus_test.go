package observability

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/b0401464/redlock/test/rig"
)

// program returns the path of a program of Prometheus: from the directory that the
// environment variable REDLOCK_PROMETHEUS names, or from the path. It skips the test where
// there is none, or fails it if REDLOCK_PROMETHEUS is set.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("REDLOCK_PROMETHEUS")
	path, err := exec.LookPath(filepath.Join(dir, name))
	if dir != "" {
		require.NoError(t, err, "REDLOCK_PROMETHEUS names a directory without it")
	}
	if err != nil {
		t.Skipf("needs %s: install prometheus, or name its directory by REDLOCK_PROMETHEUS", name)
	}
	return path
}

// A watcher is a Prometheus that scrapes one address.
type watcher struct{ url string }

// watch runs a Prometheus that scrapes target and evaluates rules, and ends it with t.
func watch(t *testing.T, target string, rules *Rules) *watcher {
	t.Helper()
	path, dir := program(t, "prometheus"), t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), rules)
	write(t, filepath.Join(dir, "prometheus.yml"), map[string]any{
		"global":     map[string]string{"scrape_interval": step.String(), "scrape_timeout": step.String(), "evaluation_interval": step.String()},
		"rule_files": []string{"rules.yml"},
		"scrape_configs": []map[string]any{{
			"job_name":       job,
			"static_configs": []map[string][]string{{"targets": {target}}},
		}},
	})
	addr := freeAddr(t)
	launch(t, exec.CommandContext(t.Context(), path, //nolint:gosec // the test's own program
		"--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", addr, "--log.level", "warn"))
	p := &watcher{url: "http://" + addr}
	require.True(t, rig.Poll(rig.Patience, func() bool {
		_, err := p.get(t, "/-/ready", nil)
		return err == nil
	}), "prometheus does not get ready on %s", addr)
	return p
}

// launch starts a process that ends with t, on Linux also if the tests are killed: that is
// told when the thread ends that has started it, so that waits.
func launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, attributes()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed
		}
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only if it has ended by itself
		<-ended
	})
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

func write(t *testing.T, file string, v any) {
	t.Helper()
	text, err := yaml.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
}

func (p *watcher) get(t *testing.T, path string, query url.Values) ([]byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path+"?"+query.Encode(), http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // read to its end
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// api asks for data and reads it into into.
func (p *watcher) api(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	body, err := p.get(t, "/api/v1/"+path, query)
	require.NoError(t, err, query)
	require.NoError(t, json.Unmarshal(body, &struct{ Data any }{into}))
}

// finds reports whether an expression has a result now.
func (p *watcher) finds(t *testing.T, expr string) bool {
	t.Helper()
	var data struct{ Result []json.RawMessage }
	p.api(t, "query", url.Values{"query": {expr}}, &data)
	return len(data.Result) > 0
}

// firing returns the labels of the alerts of a name that fire.
func (p *watcher) firing(t *testing.T, alert string) []map[string]string {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	p.api(t, "alerts", nil, &data)
	var found []map[string]string
	for _, a := range data.Alerts {
		if a.State == "firing" && a.Labels["alertname"] == alert {
			found = append(found, a.Labels)
		}
	}
	return found
}

// history returns what a target has shown between two times.
func (p *watcher) history(t *testing.T, target Target, from, to time.Time) []Series {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any // seconds and, as text, a value
		}
	}
	p.api(t, "query_range", url.Values{
		"query": {target.Expr}, "start": {unix(from)}, "end": {unix(to)}, "step": {"0.5"},
	}, &data)
	var all []Series
	for _, r := range data.Result {
		s := Series{Name: Name(target.Legend, r.Metric)}
		for _, pair := range r.Values {
			at, v := pair[0].(float64), pair[1].(string)
			value, err := strconv.ParseFloat(v, 64)
			require.NoError(t, err)
			s.Points = append(s.Points, Point{At: time.Duration((at - float64(from.UnixMilli())/1000) * 1e9), Value: value})
		}
		all = append(all, s)
	}
	return all
}

func unix(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
