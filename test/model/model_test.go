package model_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/model"
	"github.com/b0401464/redlock/test/rig"
)

var clients = flag.Int("clients", 2, "how many clients contend in the searches that find nothing")

func search(t *testing.T, cfg model.Config) model.Result {
	t.Helper()
	start := time.Now()
	r := model.Search(cfg)
	t.Logf("%d clients, %d attempts: %d states in %v: %d grants, %d raises, %d acquires repeated, %d extensions, %d values put back",
		cfg.Clients, cfg.Attempts, r.States, time.Since(start).Round(time.Millisecond), r.Grants, r.Raises, r.Repeats, r.Extended, r.Armed)
	return r
}

func requireSafe(t *testing.T, cfg model.Config) model.Result {
	t.Helper()
	r := search(t, cfg)
	require.Empty(t, r.Broken, "\n  %s", strings.Join(r.Trace, "\n  "))
	require.Positive(t, r.Grants)
	require.Positive(t, r.Armed)
	return r
}

func requireBroken(t *testing.T, cfg model.Config, promise string) {
	t.Helper()
	r := search(t, cfg)
	require.Contains(t, r.Broken, promise)
	t.Logf("%s:\n  %s", r.Broken, strings.Join(r.Trace, "\n  "))
}

// none is what clients propose that do not propose.
var none = []uint8{0}

func TestTokensGrowAndHoldersExcludeEachOther(t *testing.T) {
	t.Parallel()
	attempts := 2
	if *clients > 2 || os.Getenv("REDLOCK_LONG") != "" && !raceDetector {
		attempts = 3
	}
	r := requireSafe(t, model.Config{Clients: *clients, Attempts: attempts, Copies: 1, Proposals: none})
	require.Positive(t, r.Raises)
	require.Positive(t, r.Repeats)
	require.Positive(t, r.Extended)
}

func TestTokensGrowWhateverClientsPropose(t *testing.T) {
	t.Parallel()
	r := requireSafe(t, model.Config{Clients: *clients, Attempts: *clients, Proposals: []uint8{0, 2, 4}})
	require.Positive(t, r.Raises)
}

func TestNoTokenIsIssuedTwiceWhateverTheClocksDo(t *testing.T) {
	rig.Long(t)
	t.Parallel()
	copies := 1
	if *clients > 2 || raceDetector {
		copies = 0
	}
	r := requireSafe(t, model.Config{Clients: *clients, Attempts: *clients, Copies: copies, Proposals: none, Wrong: true, Level: *clients > 2})
	require.Positive(t, r.Raises)
}

func TestTokensOutliveNodesThatLoseTheirCountersOneAfterTheOther(t *testing.T) {
	t.Parallel()
	r := requireSafe(t, model.Config{Clients: 2, Attempts: 2, Proposals: none, Losses: 3, Spared: true})
	require.Positive(t, r.Extended)
}

func TestAProposalCoversACounterThatWasLost(t *testing.T) {
	t.Parallel()
	requireSafe(t, model.Config{Clients: 2, Attempts: 2, Losses: 1, Clock: true})
}

func TestALostCounterWithoutAProposalIsFound(t *testing.T) {
	t.Parallel()
	requireBroken(t, model.Config{Clients: 2, Attempts: 2, Proposals: none, Losses: 1}, "issued twice")
}

func TestAMissingOwnerCheckIsFound(t *testing.T) {
	t.Parallel()
	requireBroken(t, model.Config{Clients: 2, Attempts: 2, Proposals: none, Wrong: true, NoOwnerCheck: true}, "issued twice")
}

func TestAMissingWriteBackIsFound(t *testing.T) {
	t.Parallel()
	requireBroken(t, model.Config{Clients: 2, Attempts: 2, Proposals: none, NoWriteBack: true}, "token")
}

func TestAMissingCheckOfValidityIsFound(t *testing.T) {
	t.Parallel()
	requireBroken(t, model.Config{Clients: 2, Attempts: 2, Proposals: none, NoValidityCheck: true}, "hold the lock")
}
