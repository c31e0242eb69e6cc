package cli

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/cmd/redlock/internal/run"
)

const (
	defaultTTL = 30 * time.Second
	minTTL     = time.Second      // a command cannot be ended in less on a busy machine
	maxGrace   = 10 * time.Second // unless more is asked for
)

// runFlags are those of redlock run.
type runFlags struct {
	keys             []string
	ttl, wait, limit time.Duration
	grace            time.Duration
	quarantine       time.Duration
	try, token       bool
	quiet            bool
	owner, onLost    string
	shell            string
}

func (a *app) runCommand() *cobra.Command {
	start := time.Now()
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] KEY -- COMMAND [ARG…]",
		Short: "Run a command under a lock",
		Long: `Takes the lock, runs the command, releases the lock and exits as the command did.

The lock is extended for as long as the command runs. If that fails, the command gets TERM, and
KILL before the lock ends. Signals are passed on to it.

Exit codes of its own, which -E changes:
  64 usage      bad flags, bad URLs
  69 no-quorum  too few nodes answered
  74 lost       the lock was lost, or its limit reached, while the command ran
  75 contended  somebody else has the lock
  126, 127      the command cannot be executed, or was not found; 70: the machine is at fault`,
		Example: `  redlock run --try nightly -- ./backup.sh
  redlock run --wait 10m --token migrate -- ./migrate --all
  redlock run --key db:a --key db:b -- ./copy a b`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.job(cmd, &f, args)
			if err != nil {
				return err
			}
			j.Since = start
			o := run.Run(j, say)
			if f.quiet && o.Kind == run.Contended {
				o.Text = ""
			}
			return a.ended(o)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp // a key
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	f.register(cmd, a)
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command, a *app) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringArrayVar(&f.keys, "key", nil, "a further key; all are locked, or none")
	s.DurationVar(&f.ttl, "ttl", defaultTTL, "how long the lock outlives us if we die; extended while we live")
	s.DurationVar(&f.wait, "wait", 0, "wait for the lock for so long at most (default: as long as it takes)")
	s.BoolVar(&f.try, "try", false, "do not wait for the lock")
	s.DurationVar(&f.limit, "limit", 0, "end the command after so long (default: never)")
	s.BoolVar(&f.token, "token", false, "put a fencing token into REDLOCK_TOKEN")
	s.StringVar(&f.owner, "owner", "", "who others see that has the lock (default: user@host, pid and command)")
	s.StringVar(&f.onLost, "on-lost", string(run.Term), "what a command gets whose lock is lost: term, kill or ignore")
	s.DurationVar(&f.grace, "grace", 0, "how long after TERM it gets KILL (default: a sixth of the TTL, 10s at most)")
	s.DurationVar(&f.quarantine, quarantineFlag, 0, quarantineUsage)
	s.BoolVar(&f.quiet, "quiet", false, "do not say that somebody else has the lock")
	s.StringVarP(&f.shell, "command", "c", "", "run this by sh -c instead of a command behind --")
	s.VarP(a.codes, "exit-code", "E", "exit codes of our own; a number alone is that for contended")
	_ = cmd.RegisterFlagCompletionFunc("on-lost", cobra.FixedCompletions(
		[]string{string(run.Term), string(run.Kill), string(run.Ignore)}, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"key", "ttl", "wait", "limit", "owner", "grace", quarantineFlag, "exit-code"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// job returns what the flags ask for, if it can be done as far as one can tell before anything
// is locked.
func (a *app) job(cmd *cobra.Command, f *runFlags, args []string) (*run.Job, error) {
	j := &run.Job{TTL: f.ttl, Wait: redlock.Forever, Limit: redlock.Forever, Token: f.token, OnLost: run.OnLost(f.onLost)}
	if err := f.takeArgs(j, args, cmd.ArgsLenAtDash()); err != nil {
		return nil, err
	}
	if err := f.takeTimes(j, cmd.Flags().Changed); err != nil {
		return nil, err
	}
	if !slices.Contains([]run.OnLost{run.Term, run.Kill, run.Ignore}, j.OnLost) {
		return nil, fmt.Errorf("--on-lost %q: want term, kill or ignore", f.onLost)
	}
	if j.Owner = f.owner; j.Owner == "" {
		j.Owner = ownName(j.Command[0])
	}
	if len(j.Owner) > maxOwner || !utf8.ValidString(j.Owner) || strings.Map(printable, j.Owner) != j.Owner {
		return nil, fmt.Errorf("--owner %.*q: want at most %d bytes, and what can be printed", maxOwner, j.Owner, maxOwner)
	}
	if err := a.load(j.Options()...); err != nil {
		return nil, err
	}
	j.Nodes = a.nodes
	path, kind, err := run.Find(j.Command[0])
	if err != nil {
		return nil, &exitError{code: a.codes[kind], text: fmt.Sprintf("%s: %v", j.Command[0], err)}
	}
	j.Path = path
	return j, nil
}

// takeArgs tells keys from the command, which stands behind a dash that is at an index.
func (f *runFlags) takeArgs(j *run.Job, args []string, dash int) error {
	keys := args
	if dash >= 0 {
		keys, j.Command = args[:dash], args[dash:]
	}
	switch {
	case len(keys) > 1:
		return errors.New("only one key stands before --; use --key for more, and -- before the command")
	case len(keys)+len(f.keys) == 0:
		return errors.New("a key is missing, as in: redlock run KEY -- COMMAND")
	case f.shell != "" && len(j.Command) > 0:
		return errors.New("-c and a command behind -- exclude each other")
	case f.shell != "":
		j.Command = []string{"sh", "-c", f.shell}
	case len(j.Command) == 0:
		return errors.New("a command is missing, as in: redlock run KEY -- COMMAND")
	}
	if j.Keys = slices.Concat(keys, f.keys); slices.Contains(j.Keys, "") {
		return errors.New("an empty key")
	}
	return nil
}

func (f *runFlags) takeTimes(j *run.Job, given func(string) bool) error {
	switch {
	case f.ttl < minTTL:
		return fmt.Errorf("--ttl %v: want at least %v", f.ttl, minTTL)
	case f.try && given("wait"):
		return errors.New("--try and --wait exclude each other")
	case f.wait < 0:
		return fmt.Errorf("--wait %v: want 0 or more", f.wait)
	case given("limit") && f.limit < f.ttl:
		return fmt.Errorf("--limit %v: want at least the TTL, %v", f.limit, f.ttl)
	case f.grace < 0 || f.grace > f.ttl/3:
		return fmt.Errorf("--grace %v: want at most a third of the TTL, %v", f.grace, f.ttl/3)
	}
	if err := checkQuarantine(given, f.quarantine, f.ttl); err != nil {
		return err
	}
	j.Quarantine = f.quarantine
	if f.try || given("wait") {
		j.Wait = f.wait
	}
	if given("limit") {
		j.Limit = f.limit
	}
	if j.Grace = f.grace; !given("grace") {
		j.Grace = min(f.ttl/6, maxGrace)
	}
	return nil
}

// The flag of run and doctor.
const (
	quarantineFlag  = "quarantine"
	quarantineUsage = "use no node until it has been up for so long, for nodes that forget locks when they restart"
)

// checkQuarantine looks at it beside the TTL: a node that votes again sooner has forgotten locks
// that are not over.
func checkQuarantine(given func(string) bool, d, ttl time.Duration) error {
	if given(quarantineFlag) && d < ttl {
		return fmt.Errorf("--quarantine %v: want at least the TTL, %v", d, ttl)
	}
	return nil
}

// ended returns what a run ends the program with.
func (a *app) ended(o run.Outcome) error {
	e := &exitError{code: a.codes[o.Kind], text: o.Text}
	switch o.Kind {
	case run.Done:
		e.code, e.signal = o.Code, o.Signal
	case run.Interrupted:
		e.code, e.signal = 128+o.Signal, o.Signal
	default: // has a code of its own
	}
	if *e == (exitError{}) {
		return nil
	}
	return e
}

// maxOwner is how long the name of an owner may be.
const maxOwner = 128

// ownName is who we are unless the user says so.
func ownName(command string) string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	text := fmt.Sprintf("%s@%s pid %d %s", name, host, os.Getpid(), filepath.Base(command))
	text = strings.ToValidUTF8(strings.Map(printable, text), "?")
	for len(text) > maxOwner {
		r := []rune(text)
		text = string(r[:len(r)-1])
	}
	return text
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}
