package redislock_test

import "os"

// The tests are for a server on the default port. This one is elsewhere.
func init() { redisOpts.Addr = os.Getenv("REDLOCK_SUITE_NODES") }
