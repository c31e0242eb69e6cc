package suites

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// Actions of test2json that end a test.
const (
	pass = "pass"
	fail = "fail"
	skip = "skip"
)

// results are the ends of tests and of their cases by name, such as "TestMutex/redigo".
type results struct {
	ends   map[string]string
	output map[string]string
}

// run runs a command that prints as go test -json does.
func run(t *testing.T, cmd *exec.Cmd) results {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, runErr := cmd.Output() // tests that fail are an error, too
	all := results{ends: make(map[string]string), output: make(map[string]string)}
	lines := bufio.NewScanner(bytes.NewReader(stdout))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		switch event.Action {
		case "output", "build-output":
			all.output[event.Test] += event.Output
		case pass, fail, skip:
			if event.Test != "" {
				all.ends[event.Test] = event.Action
			}
		}
	}
	if runErr != nil && len(all.failed()) == 0 {
		t.Fatalf("%v: %v\n%s%s", cmd, runErr, head(all.output[""]), head(stderr.String()))
	}
	return all
}

// head keeps the first lines of what a program has printed when it panicked.
func head(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[:min(len(lines), 40)], "")
}

// failed returns the tests, not the cases, that have failed.
func (r results) failed() (names []string) {
	for name, end := range r.ends {
		if end == fail && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names
}

// cases returns the ends of the cases of a test that have none themselves, or of the test
// if it has none.
func (r results) cases(test string) map[string]string {
	all := make(map[string]string)
	for name, end := range r.ends {
		if name == test || strings.HasPrefix(name, test+"/") {
			all[name] = end
		}
	}
	for name := range all {
		for i := range len(name) {
			if name[i] == '/' {
				delete(all, name[:i])
			}
		}
	}
	return all
}
