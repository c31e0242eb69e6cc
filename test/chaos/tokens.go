package chaos

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// tokens checks the fencing tokens of one resource. No node forgets, and there is
// one clock, so there is no excuse.
type tokens struct {
	resource string
	figures  *figures

	mu     sync.Mutex
	issued map[int64]string // to whom
	grants []issue          // in the order in which they were noted
	inside issue            // the last one to enter a section
}

// An issue is a token, and the largest of its resource so far.
type issue struct {
	token, largest int64
	who            string
	noted          time.Time // after Lock had returned
}

func newTokens(resource string, f *figures) *tokens {
	return &tokens{resource: resource, figures: f, issued: make(map[int64]string)}
}

// granted notes the token of a lock that was asked for then, and granted just now.
// It is larger than all whose Lock had returned before this one was asked for: those
// stood on a majority, which every later grant meets. While two are asked for, either
// may come first.
func (k *tokens) granted(asked time.Time, token int64, who string) {
	if token == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other, found := k.issued[token]; found {
		k.figures.violate(badToken, "%q: %s and %s both have %d", k.resource, other, who, token)
	}
	k.issued[token] = who
	i, _ := slices.BinarySearchFunc(k.grants, asked, func(g issue, t time.Time) int { return g.noted.Compare(t) })
	if i > 0 && k.grants[i-1].largest >= token {
		before := k.grants[i-1]
		k.figures.violate(badToken, "%q: %s was granted %d, after %d was there, %v before it asked",
			k.resource, who, token, before.largest, asked.Sub(before.noted))
	}
	largest := token
	if n := len(k.grants); n > 0 {
		largest = max(largest, k.grants[n-1].largest)
	}
	k.grants = append(k.grants, issue{token, largest, who, time.Now()})
	k.figures.issued(token)
}

// entered checks that the token of a lock that is valid now is larger than that of
// the one before: between the two there was a moment from which on only the later one
// was valid.
func (k *tokens) entered(token int64, who string) {
	if token == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if last := k.inside; token <= last.token {
		k.figures.violate(badToken, "%q: %s entered with %d, %v after %s with %d",
			k.resource, who, token, time.Since(last.noted), last.who, last.token)
	}
	k.inside = issue{token: token, who: who, noted: time.Now()}
}

// counterOf returns the key of a resource's fencing counter.
func counterOf(resource string) string { return "{" + resource + "}:redlock:token" }

// spread has the counters of a resource begin an hour ahead of every clock, and
// apart: its tokens are larger than one another by what nodes count, and never by
// the time.
func spread(t *testing.T, nodes []*redis.Client, resource string) {
	t.Helper()
	for i, node := range nodes {
		ahead := time.Now().Add(time.Hour).UnixMicro() + int64(i)*10
		require.NoError(t, node.Set(t.Context(), counterOf(resource), ahead, 0).Err())
	}
}
