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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("want a key and a mark, as in: redlock break KEY 3f9a1c02")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			key, mark := args[0], args[1]
			return a.ask(func(ctx context.Context, l *redlock.Locker) error {
				if !yes {
					if err := confirm(ctx, l, key, mark); err != nil {
						return err
					}
				}
				if err := l.Break(ctx, key, mark); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%q: the lock with the mark %s is gone\n", key, mark)
				return err
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm shows how things stand and asks at the terminal.
func confirm(ctx context.Context, l *redlock.Locker, key, mark string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errNoTerminal
	}
	state, err := l.Inspect(ctx, key)
	if err != nil {
		return err
	}
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

var errNoTerminal = fmt.Errorf("%w: there is no terminal to ask at: use --yes", redlock.ErrInvalidArgument)
