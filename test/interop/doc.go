// Package interop has tests only. In them the programs of bull-redlock, redlock
// 4 and 5 (Node) and redsync, each in a process of its own, contend with this
// library for the same locks on the same servers.
//
// The Node programs are in node; npm ci installs what they use. Tests that need
// them skip where that is missing, or fail there if REDLOCK_REQUIRE_NODE is 1.
package interop
