package gocronlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
)

// Two hosts want to send a report. One of them does.
func ExampleLocker() {
	server := miniredis.NewMiniRedis() // three servers, in a real program
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	done := make(chan string)
	startHost := func(name string) gocron.Scheduler {
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		locker, err := redlock.New([]*redis.Client{client})
		if err != nil {
			panic(err)
		}
		jobs, err := gocronlock.NewLocker(locker, time.Hour) // the shortest time between two runs
		if err != nil {
			panic(err)
		}
		scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(jobs))
		if err != nil {
			panic(err)
		}
		_, err = scheduler.NewJob(
			gocron.DurationJob(time.Hour),
			gocron.NewTask(jobs.Guard(func(context.Context) error {
				done <- name + " sends the report"
				return nil
			})),
			gocron.WithName("report"), // the same on all hosts
			gocron.WithStartAt(gocron.WithStartImmediately()),
			gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, job string, err error) {
				if errors.Is(err, redlock.ErrContended) {
					done <- name + " leaves " + job + " to another host"
				} else {
					done <- err.Error() // an outage: perhaps no host has run it
				}
			})),
		)
		if err != nil {
			panic(err)
		}
		scheduler.Start()
		return scheduler
	}

	first := startHost("host 1")
	fmt.Println(<-done)
	second := startHost("host 2")
	fmt.Println(<-done)
	_, _ = first.Shutdown(), second.Shutdown()

	// Output:
	// host 1 sends the report
	// host 2 leaves report to another host
}

// Only the host that leads runs jobs.
func ExampleElector() {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	locker, err := redlock.New([]*redis.Client{client})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	first, err := gocronlock.NewElector(locker, "reports:leader", 10*time.Second)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("host 1 leads:", first.IsLeader(ctx) == nil)
	second, err := gocronlock.NewElector(locker, "reports:leader", 10*time.Second)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("host 2 leads:", second.IsLeader(ctx) == nil)

	scheduler, err := gocron.NewScheduler(gocron.WithDistributedElector(first))
	if err != nil {
		fmt.Println(err)
		return
	}
	scheduler.Start()

	// When the program ends: the scheduler first, then the Elector, then the Locker.
	_ = scheduler.Shutdown()
	_ = first.Close(ctx)
	_ = second.Close(ctx)
	fmt.Println("shut down:", locker.Shutdown(ctx) == nil)

	// Output:
	// host 1 leads: true
	// host 2 leads: false
	// shut down: true
}
