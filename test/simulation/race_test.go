//go:build race

package simulation_test

// defaultSeeds is how many histories a plain go test runs. The race detector
// makes each of them several times as long.
const defaultSeeds = 30
