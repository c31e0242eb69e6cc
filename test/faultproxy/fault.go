package faultproxy

import (
	"slices"
	"strings"
	"time"
)

// A Fault is what happens to one request and to its connection. The zero value
// is [Pass].
type Fault struct {
	kind    kind
	delay   time.Duration
	release <-chan struct{}
}

type kind int

const (
	pass kind = iota
	dropReply
	cutAfterApply
	cutBeforeApply
	hold
)

// Faults without parameters. See [Delay] and [Hold] for the others.
//
// A connection that is cut or goes silent at a request delivers the replies to
// earlier requests first.
var (
	// Pass forwards the request and its reply.
	Pass = Fault{}

	// DropReply forwards the request, swallows its reply and silences the
	// connection: it stays open until the client closes it, but nothing passes
	// in either direction any more.
	DropReply = Fault{kind: dropReply}

	// CutAfterApply forwards the request and closes the connection instead of
	// delivering the reply, once that has arrived.
	CutAfterApply = Fault{kind: cutAfterApply}

	// CutBeforeApply closes the connection and never forwards the request.
	CutBeforeApply = Fault{kind: cutBeforeApply}
)

// Delay forwards the request and delivers its reply d after it has arrived.
// Later replies of the same connection can't overtake it.
func Delay(d time.Duration) Fault { return Fault{delay: d} }

// Hold keeps the request back until release is closed and silences the
// connection, as [DropReply] does. Then the request is applied, even if the
// client has long closed its connection: a stale copy that was still under way
// when everybody had given it up.
//
// It is sent on a new connection with the AUTH, HELLO and SELECT requests of
// the old one, so it survives [Proxy.Cut] and restarts of the server.
// [Proxy.LateReplies] tells when it has been answered.
func Hold(release <-chan struct{}) Fault { return Fault{kind: hold, release: release} }

// OnlyLocks returns a hook that asks f about what concerns locks, which is EVAL, EVALSHA, DELEX,
// DELIFEQ and SET with NX, and passes all other requests. A client that runs a script for the first time
// may send both, one after the other.
func OnlyLocks(f func(cmd []string) Fault) func(cmd []string) Fault {
	return func(cmd []string) Fault {
		if isAny(cmd, "EVAL", "EVALSHA", "DELEX", "DELIFEQ") || isAny(cmd, "SET") && slices.ContainsFunc(cmd, func(arg string) bool { return strings.EqualFold(arg, "NX") }) {
			return f(cmd)
		}
		return Pass
	}
}

// isAny reports whether cmd is one of the named commands.
func isAny(cmd []string, names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(cmd[0], n) {
			return true
		}
	}
	return false
}

// silences reports whether nothing passes after the request.
func (f Fault) silences() bool { return f.kind == dropReply || f.kind == hold }

// forwards reports whether the request goes to the server on its connection.
func (f Fault) forwards() bool { return f.kind != cutBeforeApply && f.kind != hold }

// ending returns what becomes of the connection when the reply is due.
func (f Fault) ending() ending {
	switch f.kind {
	case cutAfterApply, cutBeforeApply:
		return cut
	case dropReply, hold:
		return silence
	case pass:
	}
	return goOn
}
