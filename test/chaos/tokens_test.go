package chaos

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/servers"
)

func TestTokensThatGrowAreAsTheyShouldBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens("k", newFigures(0, 0, func() {}))
		for _, token := range []int64{7, 8, 0, 20} {
			asked := time.Now()
			time.Sleep(time.Second)
			k.granted(asked, token, "")
			k.entered(token, "")
		}
		require.Empty(t, k.figures.violations())
		require.Equal(t, 3, k.figures.tokens)
	})
}

func TestATokenThatIsIssuedTwiceIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, asked := newTokens("k", newFigures(0, 0, func() {})), time.Now()
		k.granted(asked, 7, "a")
		k.granted(asked, 7, "b")
		requireKind(t, badToken, k.figures.violations())
	})
}

func TestATokenThatGoesBackIsFoundIfTheOthersLockHadReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, asked := newTokens("k", newFigures(0, 0, func() {})), time.Now()
		k.granted(asked, 9, "a")
		k.granted(asked, 7, "b") // had been asked for before
		time.Sleep(time.Second)
		require.Empty(t, k.figures.violations())
		k.granted(time.Now(), 8, "c")
		requireKind(t, badToken, k.figures.violations())
	})
}

func TestATokenThatGoesBackBetweenSectionsIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, asked := newTokens("k", newFigures(0, 0, func() {})), time.Now()
		k.granted(asked, 9, "a")
		k.granted(asked, 7, "b")
		k.entered(9, "a")
		require.Empty(t, k.figures.violations())
		k.entered(7, "b")
		requireKind(t, badToken, k.figures.violations())
	})
}

// The counters are ahead of every clock, and taken away.
func TestCountersThatAreLostAreNoticed(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	f := newFigures(0, 0, stop)
	c := newCounter("k", f)
	w := &world{figures: f, servers: servers.Start(t, 1), counters: []*counter{c}}
	direct := w.servers[0].Client(t)
	for i := range processes {
		w.processes = append(w.processes, newProcess(t, i, w.servers, f, redlock.WithFencing(keep)))
	}
	spread(t, append(w.direct, direct), "k")
	var wg sync.WaitGroup
	f.timers.start()
	w.work(ctx, &wg, 0)
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil { // again and again: extensions bring them back
			if <-tick.C; f.countTokens() >= 10 {
				direct.Del(ctx, counterOf("k"))
			}
		}
	})
	wg.Wait()
	f.timers.end()
	w.shutdown(t)
	requireKind(t, badToken, f.violations())
	t.Log(f.violations()[0])
}
