package asynqlock_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	asynqlock "github.com/b0401464/redlock/adapters/asynq"
)

// Two schedulers have the same periodic task. One of them enqueues it.
func ExampleGuard() {
	server := miniredis.NewMiniRedis() // three servers, in a real program, and asynq's own one
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	told := make(chan string)
	startScheduler := func() *asynq.Scheduler {
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		locker, err := redlock.New([]*redis.Client{client})
		if err != nil {
			panic(err)
		}
		guard, err := asynqlock.New(locker, time.Second, // the shortest time between two ticks
			asynqlock.WithErrorHandler(func(task *asynq.Task, err error) {
				if errors.Is(err, redlock.ErrContended) {
					told <- task.Type() + " is left to another scheduler"
				} else {
					told <- err.Error() // an outage: perhaps no scheduler has enqueued it
				}
			}))
		if err != nil {
			panic(err)
		}
		scheduler := asynq.NewScheduler(asynq.RedisClientOpt{Addr: server.Addr()}, &asynq.SchedulerOpts{
			PreEnqueueFunc: guard.PreEnqueue,
			PostEnqueueFunc: func(info *asynq.TaskInfo, err error) {
				if err != nil {
					panic(err)
				}
				told <- info.Type + " is enqueued"
			},
		})
		if _, err := scheduler.Register("@every 1s", asynq.NewTask("email:digest", nil)); err != nil {
			panic(err)
		}
		if err := scheduler.Start(); err != nil {
			panic(err)
		}
		return scheduler
	}

	first, second := startScheduler(), startScheduler()
	seen := make(map[string]bool)
	for len(seen) < 2 {
		seen[<-told] = true
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		fmt.Println(what)
	}
	go func() { // of later ticks
		for range told {
		}
	}()
	first.Shutdown()
	second.Shutdown()
	close(told)

	// Output:
	// email:digest is enqueued
	// email:digest is left to another scheduler
}
