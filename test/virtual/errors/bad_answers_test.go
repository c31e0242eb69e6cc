package errors_test

import (
	"slices"

	"github.com/b0401464/redlock"
)

// An answer is what a bad server says to a command, and what is told of it.
type answer struct {
	name string
	raw  string       // its bytes; {value} stands for the lock's value, {part} for its beginning
	part int          // of so many bytes
	cut  bool         // the connection ends after them
	drip string       // follows them, once a second until the client gives up
	to   []redlock.Op // the ops to which it is a bad one; all if there are none
	kind string       // NodeError.ErrorType; where it drips, once the client has given up
	text string       // a part of the node error's text
}

// silent reports whether the node times out.
func (a *answer) silent() bool { return a.drip != "" }

// ops returns the ops to whose scripts it is a bad one.
func (a *answer) ops() []redlock.Op {
	if len(a.to) > 0 {
		return a.to
	}
	return []redlock.Op{redlock.OpAcquire, redlock.OpExtend, redlock.OpRelease}
}

const (
	aGoError = "*errors.errorString" // what go-redis and this library make of a reply of no use
	refusal  = "*2\r\n:5000\r\n$8\r\n01234567\r\n"
)

// badAnswers are all that go-redis gets through to the library, and some of what
// it does not.
func badAnswers() []*answer {
	return slices.Concat(brokenAnswers(), wrongAnswers(), redisErrors())
}

// brokenAnswers are no replies at all.
func brokenAnswers() []*answer {
	return []*answer{
		{name: "garbage", raw: "\x00\xff\xfe garbage\r\n", kind: aGoError, text: "can't parse"},
		{name: "another protocol", raw: "HTTP/1.1 400 Bad Request\r\n\r\n", kind: aGoError, text: "HTTP/1.1 400"},
		{name: "an empty line", raw: "\r\n", kind: aGoError, text: "invalid reply"},
		{name: "a bare newline", raw: ":1\n", kind: aGoError, text: "invalid reply"},
		{name: "no number", raw: ":one\r\n", kind: aGoError, text: "invalid syntax"},
		{name: "a number too large", raw: ":9223372036854775808\r\n", kind: aGoError, text: "out of range"},
		{name: "a length below none", raw: "$-2\r\n", kind: aGoError, text: "invalid reply"},
		{name: "nothing, then the end", cut: true, kind: aGoError, text: "EOF"},
		{name: "half a number, then the end", raw: ":", cut: true, kind: aGoError, text: "EOF"},
		{name: "half a line end, then the end", raw: ":1\r", cut: true, kind: aGoError, text: "EOF"},
		{name: "half a refusal, then the end", raw: refusal[:len(refusal)-5], cut: true, kind: aGoError, text: "EOF"},
		{name: "an endless line", raw: "+", drip: "x", kind: "timeout"},
		{name: "an endless bulk", raw: "$100000\r\n", drip: "x", kind: "timeout"},
		{name: "an endless array", raw: "*100000\r\n", drip: ":1\r\n", kind: "timeout"},
		{name: "endless nesting", drip: "*1\r\n", kind: "timeout"},
		{name: "endless push messages", drip: ">2\r\n+a\r\n+b\r\n", kind: "timeout"},
	}
}

// wrongAnswers are replies of types and values that no script gives.
func wrongAnswers() []*answer {
	acquire, extend, release := redlock.OpAcquire, redlock.OpExtend, redlock.OpRelease
	return []*answer{
		{name: "OK", raw: "+OK\r\n", kind: aGoError, text: "type string"},
		{name: "a status of 1", raw: "+1\r\n", kind: aGoError, text: "type string"},
		{name: "a bulk of 1", raw: "$1\r\n1\r\n", kind: aGoError, text: "type string"},
		{name: "nil", raw: "$-1\r\n", kind: "ERR", text: "redis: nil"},
		{name: "nil of RESP3", raw: "_\r\n", kind: "ERR", text: "redis: nil"},
		{name: "0", raw: ":0\r\n", kind: aGoError, text: "type int64"},
		{name: "2", raw: ":2\r\n", kind: aGoError, text: "type int64"},
		{name: "-1", raw: ":-1\r\n", to: []redlock.Op{acquire}, kind: aGoError, text: "type int64"},
		{name: "-2", raw: ":-2\r\n", to: []redlock.Op{acquire, release}, kind: aGoError, text: "type int64"},
		{name: "the largest number", raw: ":9223372036854775807\r\n", kind: aGoError, text: "type int64"},
		{name: "a big number of 1", raw: "(1\r\n", kind: aGoError, text: "type *big.Int"},
		{name: "a double of 1", raw: ",1\r\n", kind: aGoError, text: "type float64"},
		{name: "true", raw: "#t\r\n", kind: aGoError, text: "type bool"},
		{name: "a refusal", raw: refusal, to: []redlock.Op{extend, release}, kind: aGoError, text: "type []interface {}"},
		{name: "an empty array", raw: "*0\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "an array of one", raw: "*1\r\n:1\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "an array of three", raw: "*3\r\n:5000\r\n$1\r\na\r\n:1\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "a refusal the wrong way round", raw: "*2\r\n$1\r\na\r\n:5000\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "a refusal of nils", raw: "*2\r\n$-1\r\n$-1\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "an error in an array", raw: "*2\r\n-ERR no\r\n:1\r\n", kind: aGoError, text: "type []interface {}"},
		{name: "a map", raw: "%1\r\n:5000\r\n$1\r\na\r\n", kind: aGoError, text: "type map"},
		{name: "a map whose key is an array", raw: "%1\r\n*1\r\n:1\r\n:1\r\n", kind: aGoError, text: "map key"},
		{name: "two answers", raw: ":0\r\n:1\r\n", kind: aGoError, text: "type int64"},
	}
}

// redisErrors are errors of Redis. The client repeats some of them by itself.
func redisErrors() []*answer {
	said := func(text, kind string) *answer {
		return &answer{name: kind + " " + text[:min(len(text), 24)], raw: "-" + text + "\r\n", kind: kind, text: text}
	}
	quoting := said("ERR unknown command 'evalsha', with args beginning with: '0123' '1' 'a' '{value}' '10000' ", "ERR")
	quoting.text = "'[value]'"
	return []*answer{
		quoting,
		said("LOADING Redis is loading the dataset in memory", "LOADING"),
		said("READONLY You can't write against a read only replica.", "READONLY"),
		said("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
		said("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT"),
		said("NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM"),
		said("NOAUTH Authentication required.", "NOAUTH"),
		said("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
		said("MOVED 15495 127.0.0.1:6379", "MOVED"), // to the first node itself
		said("MOVED 15495 :0", "MOVED"),
		said("ASK 15495 127.0.0.9:6379", "ASK"),
		said("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN"),
		said("CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT"),
		said("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
		said("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN"),
		said("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
		said("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "BUSY"),
		said("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", "MISCONF"),
		said("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
		said("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
		said("UNKILLABLE Sorry the script already executed write commands", "UNKILLABLE"),
		said("ERR max number of clients reached", "ERR"),
		said("ERR Error running script (call to f_0): @user_script:19: -OOM command not allowed", "ERR"),
		said("no code at all", "ERR"),
		{name: "an error without a text", raw: "-\r\n", kind: "ERR"},
		{name: "LOADING as a blob", raw: "!9\r\nLOADING x\r\n", kind: "LOADING", text: "LOADING x"},
	}
}
