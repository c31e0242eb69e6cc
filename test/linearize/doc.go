// Package linearize checks histories of real processes that lock on real servers with
// Porcupine, which decides if a concurrent history could have come from a model that does one
// operation after the other. The search is Porcupine's, the model is this project's.
//
// It is for tests only. Workers are processes of their own: the test's binary runs itself
// again. Before and after each call, a worker writes down what it asks and what it is told,
// a line of JSON each in a file of its own, so that what it wrote outlives a kill -9. All
// moments are of CLOCK_MONOTONIC, which the processes of a machine share.
//
// Meanwhile servers, which write each command to disk before they answer, and workers are
// stopped and killed, and the connections between them are cut and delayed, as a plan says
// that a seed gives.
//
// README.md tells what the models check.
package linearize
