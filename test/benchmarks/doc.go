// Package benchmarks measures this library beside the other lock libraries for
// Go, and beside bare go-redis, on redis-server processes that it starts. It is
// all tests: make bench runs the cases, make test what keeps them from
// regressing. README.md says what is measured and how.
package benchmarks
