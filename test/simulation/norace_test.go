//go:build !race

package simulation_test

// defaultSeeds is how many histories a plain go test runs.
const defaultSeeds = 300
