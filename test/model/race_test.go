//go:build race

package model_test

// raceDetector has the searches be smaller: a single goroutine races with nobody.
const raceDetector = true
