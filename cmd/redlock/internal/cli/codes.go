package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/b0401464/redlock/cmd/redlock/internal/run"
)

// exitCodes are those of runs that do not end as their command does.
type exitCodes map[run.Kind]int

// named are the kinds whose codes can be set.
var named = []run.Kind{run.Contended, run.NoQuorum, run.Lost, run.Usage}

// defaultCodes are those that sysexits.h has for such things, and shells for commands that
// cannot be run.
func defaultCodes() exitCodes {
	return exitCodes{
		run.Usage: 64, run.NoQuorum: 69, run.Failed: 70, run.Lost: 74, run.Contended: 75,
		run.CannotRun: 126, run.NotFound: 127,
	}
}

// String returns those that can be set.
func (c exitCodes) String() string {
	var list []string
	for _, kind := range named {
		list = append(list, fmt.Sprintf("%s=%d", kind, c[kind]))
	}
	return strings.Join(list, ",")
}

// Set sets some of them, or with a number alone that of Contended, as flock does.
func (c exitCodes) Set(list string) error {
	for part := range strings.SplitSeq(list, ",") {
		kind, number := run.Contended, part
		if name, n, found := strings.Cut(part, "="); found {
			kind, number = run.Kind(name), n
		}
		n, err := strconv.Atoi(number)
		switch {
		case !slices.Contains(named, kind):
			return fmt.Errorf("no kind %q: want %s", kind, names())
		case err != nil || n < 0 || n > 255:
			return fmt.Errorf("%q is no exit code: want 0 to 255", number)
		}
		c[kind] = n
	}
	return nil
}

// find sets those that are asked for, wherever that stands: behind a bad flag, too.
func (c exitCodes) find(args []string) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.Usage = func() {}
	f.VarP(c, "exit-code", "E", "")
	_ = f.Parse(args) // to be told of when all flags are parsed
}

func names() string {
	var list []string
	for _, kind := range named {
		list = append(list, string(kind))
	}
	return strings.Join(list, ", ")
}

// Type names the kind of value in the help.
func (exitCodes) Type() string { return "KIND=N" }
