// Package rig is what the tests of the library stand on: nodes in virtual time that
// freeze, get slow and go away, real servers and the ways to them, and what several
// packages of tests ask of a lock.
package rig
