package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainEnvironment hides what the environment of the tests says about exports.
func plainEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "") // empty is unset, and restored in the end
		}
	}
}

func TestSpansAndMetricsGoToStdoutAsJSONIfAskedFor(t *testing.T) {
	plainEnvironment(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-json"}, &out, io.Discard))
	names, services := map[string]int{}, map[string]int{}
	metrics := 0
	for lines := json.NewDecoder(&out); ; {
		var line struct {
			Name         string
			Resource     []struct{ Value struct{ Value any } }
			ScopeMetrics []any
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if line.ScopeMetrics != nil {
			metrics++
			continue
		}
		names[line.Name]++
		services[line.Resource[0].Value.Value.(string)]++
	}
	assert.Equal(t, 2, names["redlock.with"])
	assert.Equal(t, 1, names["charge card"])
	assert.Equal(t, 1, names["write report"])
	assert.Positive(t, names["eval"], "a Locker's first scripts go by their source")
	assert.Len(t, services, 2)
	assert.Equal(t, 2, metrics, "one line of each service")
}

func TestAColdRunShowsHowScriptsAreLoaded(t *testing.T) {
	plainEnvironment(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-cold", "-json"}, &out, io.Discard))
	assert.NotContains(t, out.String(), "NOSCRIPT")
	assert.Contains(t, out.String(), `"Name":"eval"`)
	assert.Contains(t, out.String(), `"Name":"redis.dial"`)
}

func TestThePictureIsXMLAndHasTheSpans(t *testing.T) {
	for name, args := range map[string][]string{"warm": nil, "cold": {"-cold"}} {
		t.Run(name, func(t *testing.T) {
			plainEnvironment(t)
			file := filepath.Join(t.TempDir(), "trace.svg")
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), append(args, "-json", "-svg", file), &out, io.Discard))
			svg, err := os.ReadFile(file) //nolint:gosec // written by the test
			require.NoError(t, err)
			var bars []string // what their titles begin with
			for d, inBar := xml.NewDecoder(bytes.NewReader(svg)), false; ; {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				switch token := token.(type) {
				case xml.StartElement:
					inBar = token.Name.Local == "title"
				case xml.CharData:
					if title, _, ok := strings.Cut(string(token), ": "); inBar && ok {
						bars = append(bars, title)
					}
				case xml.EndElement:
					inBar = false
				}
			}
			spans := strings.Count(out.String(), `"SpanKind":`)
			assert.Equal(t, spans, strings.Count(string(svg), "</title></rect>"), "a bar for each span")
			for _, want := range []string{
				"billing redlock.with", "billing charge card", "billing redlock.extend", "billing redlock.unlock",
				"reports redlock.with", "reports redlock.lock", "reports redlock.attempt", "reports write report",
				"billing eval", "reports eval",
			} {
				assert.Contains(t, bars, want)
			}
			for _, want := range []string{"billing has the lock", "reports has the lock", "eval"} {
				assert.Contains(t, string(svg), want)
			}
			if name == "warm" {
				assert.Contains(t, string(svg), `class="late"`)
			} else {
				assert.NotContains(t, string(svg), `class="error"`)
			}
		})
	}
}

func TestBadArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"-addrs", "nowhere"}, {"-no-such-flag"}} {
		require.Error(t, run(t.Context(), args, io.Discard, io.Discard), "%q", args)
	}
}
