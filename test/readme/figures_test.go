package readme_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// measured returns the cells of the tables that the benchmarks have written for a case.
func measured(t *testing.T, name string) map[string]bool {
	t.Helper()
	before, _, ok := strings.Cut(rig.Page(t, "test/benchmarks/results/TABLES.md"), "\n`make bench CASES="+name+"`\n")
	require.True(t, ok, "there is no case %s", name)
	cells := make(map[string]bool)
	for line := range strings.Lines(before[strings.LastIndex(before, "\n## "):]) {
		for cell := range strings.SplitSeq(line, "|") {
			cells[strings.TrimSpace(cell)] = true
		}
	}
	return cells
}

// A paragraph or table is said to be from the cases whose names stand behind it in a comment.
var from = regexp.MustCompile(`<!-- from: ([a-z -]+) -->`)

// Times and rates. What is measured under is no figure: 1 ms, or 50 ms late.
var (
	figure = regexp.MustCompile(`\d[\d.,]*(?: (?:µs|ms|s)\b|×)|\b\d+\.\d+ times\b|\b\d+,\d{3}\b|\b1\.\d\d\b`)
	given  = regexp.MustCompile(`\b(?:for 1 ms|50 ms late|1, 1 and 80 ms away)\b`)
)

func TestEveryFigureOnThePagesIsOneOfTheLastBenchmarks(t *testing.T) {
	pages := make(map[string]int)
	for _, page := range guides(t) {
		for block := range strings.SplitSeq(rig.Page(t, page), "\n\n") {
			m := from.FindStringSubmatch(block)
			if m == nil {
				continue
			}
			all := make(map[string]bool)
			for name := range strings.FieldsSeq(m[1]) {
				for cell := range measured(t, name) {
					all[cell] = true
				}
			}
			for _, f := range figure.FindAllString(given.ReplaceAllString(from.ReplaceAllString(block, ""), ""), -1) {
				pages[page]++
				f = strings.TrimSuffix(f, " times")
				assert.True(t, all[f] || all[f+"×"], "%s: %s is not in the tables of %s", page, f, m[1])
			}
		}
	}
	for _, page := range []string{"README.md", "docs/comparison.md", "docs/waiting.md", "docs/pipelines.md"} {
		assert.Greater(t, pages[page], 2, "are those of %s read?", page)
	}
}

// What looks measured: microseconds, a ratio, thousands.
var looksMeasured = regexp.MustCompile(`\d[\d.]* µs|\d[\d.]*×|\b\d{1,3},\d{3}\b`)

// A figure that looks measured and says not where it is from stands on a page whose figures
// are compared by a test of their own, or is no figure: a number of callers, or of what a run is told to do.
func TestEachFigureOfAUserPageSaysWhereItIsFrom(t *testing.T) {
	numbers := regexp.MustCompile(`1 to 4,096 callers|200 and 1,000 processes|10,000 sections|within 2,000 histories`)
	for _, page := range guides(t) {
		switch page {
		case "docs/REPORT.md", "docs/kubernetes.md": // see report_test.go and results_test.go
			continue
		}
		for block := range strings.SplitSeq(rig.Fence.ReplaceAllString(rig.Page(t, page), ""), "\n\n") {
			if !from.MatchString(block) {
				assert.Empty(t, looksMeasured.FindAllString(numbers.ReplaceAllString(block, ""), -1), "%s: %.60s", page, block)
			}
		}
	}
}

// The oldest go-redis is what the library demands and its tests run on; on the newest, those of
// the command run.
func TestThePageOnVersionsNamesTheOldestAndTheNewestGoRedis(t *testing.T) {
	const goRedis = "github.com/redis/go-redis/v9"
	oldest, newest := required(t, ".", goRedis), required(t, "cmd/redlock", goRedis)
	for _, adapter := range []string{"adapters/asynq", "adapters/certmagic", "adapters/gocron"} {
		assert.Equal(t, oldest, required(t, adapter, goRedis), adapter)
	}
	page := oneLine(t, "docs/versions.md")
	assert.Contains(t, page, "run on "+oldest+", those of the command on "+newest+", the newest.")
	assert.Contains(t, rig.Page(t, "docs/faq.md"), "go-redis "+oldest+" and "+newest)
	minor := oldest[:strings.LastIndex(oldest, ".")]
	assert.Contains(t, page, minor+" or later of v9.")
	assert.Contains(t, rig.Page(t, "README.md"), minor+" or later of v9.")
}

// required returns the version of a module that another one of the project requires.
func required(t *testing.T, by, module string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(rig.Page(t, by+"/go.mod"))
	require.Len(t, m, 2, module)
	return m[1]
}

// The versions that the pages speak of are those that the benchmarks and the tests run.
func TestTheVersionsOfNeighboursAreThoseThatAreRun(t *testing.T) {
	version := func(module string) string { return required(t, "test/benchmarks", module) }
	node := rig.Page(t, "test/interop/package.json")
	for _, page := range []string{"docs/comparison.md", "docs/migration.md"} {
		text := oneLine(t, page)
		assert.Contains(t, text, "redsync "+version("github.com/go-redsync/redsync/v4"), page)
		assert.Contains(t, text, "redislock "+version("github.com/bsm/redislock"), page)
		for _, m := range regexp.MustCompile(`"(?:bull-redlock|redlock[45])": "(?:npm:redlock@)?([^"]+)"`).FindAllStringSubmatch(node, -1) {
			assert.Contains(t, text, m[1], page)
		}
	}
	assert.Contains(t, rig.Page(t, "docs/comparison.md"), "rueidislock "+version("github.com/redis/rueidis"))
	for name, module := range map[string]string{
		"gocron": "github.com/go-co-op/gocron/v2", "asynq": "github.com/hibiken/asynq", "certmagic": "github.com/caddyserver/certmagic",
	} {
		assert.Contains(t, rig.Page(t, "README.md"), "| "+name+" "+required(t, "adapters/"+name, module)+" |")
	}
}
