package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/cmd/redlock/internal/run"
)

func (a *app) breakCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "break KEY MARK",
		Short: "Take a lock away from a holder that hangs",
		Long: `Removes the lock of the holder with that mark, which redlock who shows, and of no other one.

The holder is not told. It goes on until it next extends its lock, and the next holder may run beside
it until then: only a fencing token keeps that from doing harm. redlock run ends its command then.

It asks before it does so, unless --yes is given. It exits with 75 if somebody else has the lock by
now, and with 69 if too few nodes answered.`,
		Args: breakArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && !term.IsTerminal(int(os.Stdin.Fd())) {
				return errors.New("there is no terminal to ask at: use --yes")
			}
			return a.ask(func(ctx context.Context, l *redlock.Locker) error {
				done, err := a.breakLock(ctx, l, args[0], args[1], yes)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), done)
				return err
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func breakArgs(_ *cobra.Command, args []string) error {
	switch {
	case len(args) != 2:
		return errors.New("want a key and a mark, as in: redlock break KEY 3f9a1c02")
	case args[0] == "":
		return errors.New("an empty key")
	case len(args[1]) != 8 || strings.Trim(args[1], "0123456789abcdef") != "":
		return fmt.Errorf("mark %q: want 8 hexadecimal digits in lower case, as redlock who shows", args[1])
	}
	return nil
}

// breakLock looks who has the lock, asks unless told not to, and returns what has come of it.
func (a *app) breakLock(ctx context.Context, l *redlock.Locker, key, mark string, yes bool) (done string, err error) {
	state, err := l.Inspect(ctx, key)
	switch {
	case err != nil:
		return "", err
	case state.Verdict == redlock.VerdictFree:
		return fmt.Sprintf("nobody has %q: nothing to break", key), nil
	case state.Verdict == redlock.VerdictHeld && state.Holder.Mark != mark:
		return "", a.otherHolder(key, mark, state.Holder)
	}
	if !yes {
		if err := confirm(ctx, state, mark); err != nil {
			return "", err
		}
	}
	err = l.Break(ctx, key, mark)
	if e, ok := errors.AsType[*redlock.LockError](err); ok && errors.Is(err, redlock.ErrOtherHolder) {
		return "", a.otherHolder(key, mark, e.HeldBy)
	}
	return fmt.Sprintf("%q: the lock with the mark %s is gone", key, mark), err
}

// otherHolder is the error if another one has the lock.
func (a *app) otherHolder(key, mark string, h redlock.Holder) error {
	name := "mark " + h.Mark
	if h.Owner != "" {
		name = h.Owner + ", " + name
	}
	return &exitError{
		code: a.codes[run.Contended],
		text: fmt.Sprintf("%q: the mark %s is not that of the holder, %s: nothing of its lock was touched", key, mark, name),
	}
}

// confirm shows how things stand and asks at the terminal.
func confirm(ctx context.Context, state redlock.State, mark string) error {
	fmt.Fprintf(os.Stderr, "%v\n\nTake the lock away from the holder with the mark %s? It goes on until it notices. [y/N] ", state, mark)
	answers := make(chan string, 1)
	go func() { // ends with the program
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // nothing is no
		answers <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return &exitError{code: 1, text: "left as it was"}
	case <-ctx.Done():
		return ctx.Err()
	}
}
