// Package suites runs tests that others have written for their locks, with this library in
// the place of what they were written for: of redsync, redislock, Go's sync.Mutex, Vault and
// Dapr.
//
// Their files are taken as they are: from the module cache, and from the source of the Go
// that runs. What stands in for the tested package is here, redislock and gosync, and in
// testdata what is put beside the other files of redsync. Tests that cannot pass, and ones that are
// not about locks, are named with the reason; a suite fails if any other one fails, and if
// one of the former passes.
//
// It is for tests only. README.md has the tables.
package suites
