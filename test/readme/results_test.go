package readme_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// lastOf returns what the last run of a tool has printed, as it was.
func lastOf(t *testing.T, tool string) string {
	t.Helper()
	return rig.Page(t, "test/"+tool+"/results/last.txt")
}

// oneLine returns the text of a page without its line breaks.
func oneLine(t *testing.T, page string) string {
	t.Helper()
	return strings.Join(strings.Fields(rig.Page(t, page)), " ")
}

// requireSaid checks that a page has a sentence, wherever its lines break.
func requireSaid(t *testing.T, page, sentence string) {
	t.Helper()
	require.True(t, strings.Contains(oneLine(t, page), sentence), "%s does not say: %s", page, sentence)
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// A suiteLine is what make suites prints of a suite, or of the same one on several nodes.
type suiteLine struct {
	version                 string
	all, run, cases, passed int
	differ, leftOut         int
}

// suitesOf returns the lines of the last run by the beginnings of their names.
func suitesOf(t *testing.T, names ...string) map[string]suiteLine {
	t.Helper()
	text := lastOf(t, "suites")
	require.Contains(t, text, "\nPASS\nok ")
	all := make(map[string]suiteLine)
	line := regexp.MustCompile(`(?m)_test\.go:\d+: (.+), (\S+): (\d+) of (\d+) tests run, in (\d+) cases; (\d+) passed(.*)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		name := ""
		for _, n := range names {
			if strings.HasPrefix(m[1], n) {
				name = n
			}
		}
		require.NotEmpty(t, name, m[1])
		s := all[name]
		s.version, s.all = m[2], number(t, m[4])
		s.run, s.cases, s.passed = max(s.run, number(t, m[3])), s.cases+number(t, m[5]), max(s.passed, number(t, m[6]))
		s.differ, s.leftOut = s.run-s.passed, s.all-s.run
		all[name] = s
	}
	require.Len(t, all, len(names))
	return all
}

func TestThePagesHaveTheFiguresOfTheSuites(t *testing.T) {
	names := []string{"redsync", "redislock", "sync.Mutex", "Vault", "Dapr"}
	lines := suitesOf(t, names...)
	differ := 0
	for _, name := range names {
		s := lines[name]
		differ += s.differ
		run := strconv.Itoa(s.run)
		if s.cases != s.run {
			run += fmt.Sprintf(", in %d cases", s.cases)
		}
		figures := fmt.Sprintf(`%s \| %s \| %d \| %d \| `, regexp.QuoteMeta(s.version), run, s.passed, s.differ)
		row := regexp.MustCompile(`(?m)^\| [^|]*` + regexp.QuoteMeta(name) + `[^|]* \| [^|]*` + figures + `(\d+) (?:\| (\d+) )?\|$`)
		for _, page := range []string{"docs/REPORT.md", "test/suites/README.md"} {
			m := row.FindStringSubmatch(rig.Page(t, page))
			if assert.NotEmpty(t, m, "%s: the row of %s is not that of the last run: %s", page, name, figures) {
				leftOut := number(t, m[1])
				if m[2] != "" { // by two reasons
					leftOut += number(t, m[2])
				}
				assert.Equal(t, s.leftOut, leftOut, "%s: %s", page, name)
			}
		}
	}
	assert.Equal(t, 4, differ)
	requireSaid(t, "docs/REPORT.md", "The four that differ ")
}

// The order of the neighbours in the output is that of the page.
func TestTheReportHasTheFiguresOfTheNeighboursPrograms(t *testing.T) {
	line := regexp.MustCompile(`_test\.go:\d+: (\d+) sections in [\d.]+ s, (\d+) overlaps; redlock: (\d+), [^;]+; (\S+): \d+, [^;]+; redlock, fenced: (\d+),`)
	names := map[string]string{"bull-redlock": "bull-redlock", "redlock4": "redlock 4", "redlock5": "redlock 5", "redsync": "redsync"}
	text, sections := lastOf(t, "interop"), 0
	require.Contains(t, text, "--- PASS: TestSectionsOfOtherLibrariesAndOursNeverOverlap ")
	var shares []string
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		require.Equal(t, "0", m[2])
		require.Contains(t, names, m[4])
		sections += number(t, m[1])
		shares = append(shares, fmt.Sprintf("%d %% beside %s", (100*(number(t, m[3])+number(t, m[5]))+number(t, m[1])/2)/number(t, m[1]), names[m[4]]))
	}
	require.Len(t, shares, len(names))
	requireSaid(t, "docs/REPORT.md", fmt.Sprintf("In %s sections there was no overlap. Of these, ours got %s and %s.",
		thousands(sections), strings.Join(shares[:3], ", "), shares[3]))
}

// rowsOf returns the second column of the table that the chaos prints, by the first.
func rowsOf(t *testing.T, text string) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^ *([A-Za-z][A-Za-z ]*?)  +(\S.*)$`).FindAllStringSubmatch(text, -1) {
		rows[m[1]] = m[2]
	}
	return rows
}

// seconds returns a duration as the pages have it.
func seconds(t *testing.T, text string) string {
	t.Helper()
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func TestTheReportHasTheFiguresOfTheChaos(t *testing.T) {
	text := lastOf(t, "chaos")
	require.Contains(t, text, "--- PASS: TestNoTwoHoldersWhateverHappensToAMinority ")
	rows := rowsOf(t, text)
	first := func(name string) string {
		t.Helper()
		require.Contains(t, rows, name)
		return regexp.MustCompile(`^[0-9.a-z]+`).FindString(rows[name])
	}
	count := func(name string) string { return thousands(number(t, first(name))) }
	for _, name := range []string{"overlaps", "lost updates", "contexts that outlived their lock", "locks lost before their time", "tokens that did not grow", "keys left one TTL later"} {
		require.Equal(t, "0", first(name), name)
	}
	late := regexp.MustCompile(`^(\S+) after its validity; other timers were up to (\S+) late$`).FindStringSubmatch(rows["latest end of a context"])
	require.Len(t, late, 3)
	length, err := time.ParseDuration(first("run"))
	require.NoError(t, err)

	report := rig.Page(t, "docs/REPORT.md")
	for _, row := range [][2]string{
		{"length of the run", fmt.Sprintf("%.0f s", length.Seconds())},
		{"sections entered; increments; tokens", count("sections entered") + "; " + count("increments") + "; " + count("fencing tokens issued")},
		{"faults; the longest of them", count("faults injected") + "; " + seconds(t, first("longest fault"))},
		{"overlaps; lost updates; locks lost before their time; tokens that did not grow", "0; 0; 0; 0"},
		{"longest time without a grant", seconds(t, first("longest time without a grant"))},
		{"latest end of a context after the validity; latest of other timers", seconds(t, late[1]) + "; " + seconds(t, late[2])},
		{"keys left one TTL after the end", "0"},
	} {
		line := fmt.Sprintf("| %s | %s |", row[0], row[1])
		assert.True(t, strings.Contains(report, "\n"+line+"\n"), "docs/REPORT.md lacks the row %s", line)
	}
}

// A soak has a table for each of its batches.
func TestTheReportHasTheFiguresOfTheSimulation(t *testing.T) {
	text := lastOf(t, "simulation")
	sum := func(figure string) (n int) {
		all := regexp.MustCompile(figure).FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, all, figure)
		for _, m := range all {
			n += number(t, m[1])
		}
		return n
	}
	require.NotContains(t, text, "--- FAIL")
	requireSaid(t, "docs/REPORT.md", fmt.Sprintf(
		"The last run played %s histories: %s hours, %s locks, %s extensions and %s scripts. No promise was broken.",
		thousands(sum(`(\d+) histories in `)), thousands(sum(`(\d+)h\d+m\d+s of virtual time`)), thousands(sum(`(\d+) locks, `)),
		thousands(sum(` (\d+) extensions, `)), thousands(sum(` (\d+) scripts run by nodes`))))
}
