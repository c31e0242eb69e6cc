// Package cli is the command line of redlock.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/cmd/redlock/internal/nodes"
	"github.com/b0401464/redlock/cmd/redlock/internal/run"
)

// Version is set by the linker for a release.
var Version = "devel"

// Main runs the command line and returns the exit code.
func Main(args []string) int {
	if len(args) > 1 && args[0] == "keep" {
		if fd, err := strconv.Atoi(args[1]); err == nil && fd > 2 && run.Keep(fd) {
			return 0
		}
	}
	a := &app{codes: defaultCodes()}
	a.codes.find(args)
	root := a.command()
	root.SetArgs(args)
	return a.exit(root.Execute())
}

// An app is one run of the command line.
type app struct {
	nodes     nodes.Config
	nodesFile string
	codes     exitCodes
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{ //nolint:gosec // the password is an example
		Use:   "redlock",
		Short: "Locks on a majority of Redis nodes, for the command line",
		Long: `redlock runs commands under locks that stand on a majority of Redis nodes.

Name the nodes by --node, by --nodes-file, or by REDLOCK_NODES with commas between them:

  redis://user:password@host:6379/0                        a server; rediss:// with TLS, unix:// by a socket
  redis://host:26379?addr=host2:26379&master_name=main     a Sentinel group
  redis://host:7000?addr=host2:7001                        a Cluster (one address alone: ?cluster=true)`,
		Version:           Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return errors.New("a command is missing, as in: redlock run KEY -- COMMAND")
		},
	}
	root.DisableSuggestions = true // they take more than a line
	f := root.PersistentFlags()
	f.StringArrayVar(&a.nodes.URLs, "node", nil, "URL of a node; once for each")
	f.StringVar(&a.nodesFile, "nodes-file", "", "file with the URLs of the nodes, one a line")
	f.StringVar(&a.nodes.TLS.CA, "tls-ca", "", "file with the certificates to trust, in PEM form")
	f.StringVar(&a.nodes.TLS.Cert, "tls-cert", "", "file with our certificate, in PEM form")
	f.StringVar(&a.nodes.TLS.Key, "tls-key", "", "file with its key")
	files := []string{"nodes-file", "tls-ca", "tls-cert", "tls-key"}
	for _, name := range files {
		_ = root.MarkPersistentFlagFilename(name)
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range files { // a variable that is not set must not name other nodes
			if f := cmd.Flag(name); f != nil && f.Changed && f.Value.String() == "" {
				return fmt.Errorf("--%s: an empty name", name)
			}
		}
		return nil
	}
	root.AddCommand(a.runCommand(), a.whoCommand(), a.breakCommand(), a.doctorCommand())
	refuseUnknownTopics(root)
	return root
}

// refuseUnknownTopics has the commands that cobra adds refuse what they do not know, which
// they would answer by the help.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = func(_ *cobra.Command, args []string) error {
			if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
				return fmt.Errorf("no help on %q", strings.Join(args, " "))
			}
			return nil
		}
	}
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.RunE = func(*cobra.Command, []string) error {
			return errors.New("a shell is missing, as in: redlock completion bash")
		}
	}
}

// load finds out what the nodes are, and whether they can be locked on with some options.
func (a *app) load(opts ...redlock.Option) error {
	from := "--node"
	if a.nodesFile != "" {
		urls, err := nodes.Read(a.nodesFile)
		if err != nil {
			return fmt.Errorf("--nodes-file: %w", err)
		}
		from = a.nodesFile
		if len(a.nodes.URLs) > 0 {
			from = "--node and " + a.nodesFile
		}
		a.nodes.URLs = append(a.nodes.URLs, urls...)
	}
	if len(a.nodes.URLs) == 0 {
		a.nodes.URLs, from = nodes.Split(os.Getenv("REDLOCK_NODES")), "REDLOCK_NODES"
	}
	if len(a.nodes.URLs) == 0 {
		return errors.New("no nodes: use --node, --nodes-file or REDLOCK_NODES")
	}
	clients, closeAll, err := nodes.Open(a.nodes)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer closeAll()
	_, err = redlock.New(clients, opts...)
	return err
}

// ask calls f with a Locker on the nodes that has some options, and a context that a signal ends.
func (a *app) ask(f func(ctx context.Context, l *redlock.Locker) error, opts ...redlock.Option) error {
	if err := a.load(opts...); err != nil {
		return err
	}
	clients, closeAll, err := nodes.Open(a.nodes)
	if err != nil {
		return err
	}
	defer closeAll()
	l, err := redlock.New(clients, opts...)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	err = f(ctx, l)
	if e, ok := errors.AsType[*exitError](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		err = e
	}
	err = a.failed(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.Shutdown(ctx) // what it was for is done
	return err
}

// untilSignal returns a context whose cause is, after a signal, the exitError to end with.
func untilSignal() (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if !signal.Ignored(s) { // by nohup, say
			signal.Notify(signals, s)
		}
	}
	go func() {
		select {
		case s := <-signals:
			n := int(s.(syscall.Signal))
			cancel(&exitError{code: 128 + n, signal: n})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); signal.Stop(signals) }
}

// failed returns the error for one of the library's.
func (a *app) failed(err error) error {
	kind := run.Failed
	if _, ok := errors.AsType[*exitError](err); ok || err == nil {
		return err
	}
	switch {
	case errors.Is(err, redlock.ErrInvalidArgument):
		kind = run.Usage
	case errors.Is(err, redlock.ErrNoQuorum):
		kind = run.NoQuorum
	case errors.Is(err, redlock.ErrOtherHolder):
		kind = run.Contended
	}
	return &exitError{code: a.codes[kind], text: run.Words(err)}
}

// An exitError ends the program with a code, and with a line if there is one.
type exitError struct {
	code   int
	text   string
	signal int // if that is how to end
}

func (e *exitError) Error() string { return e.text }

// exit tells of an error and returns the code for it.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		// All other errors are of how the program is called.
		e = &exitError{code: a.codes[run.Usage], text: run.Words(err)}
	}
	if e.text != "" {
		say(e.text)
	}
	if e.signal != 0 {
		run.DieOf(e.signal)
	}
	return e.code
}

// say writes one line to standard error. What cannot be printed is shown as Go writes it: it
// may come from a file name, or from a node, and is not for the terminal to obey.
func say(text string) {
	var line strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	fmt.Fprintln(os.Stderr, "redlock: "+line.String())
}
