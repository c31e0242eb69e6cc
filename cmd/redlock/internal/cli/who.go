package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/b0401464/redlock"
)

// A whoView shows who holds some keys.
type whoView struct {
	locker *redlock.Locker
	keys   []string
	asJSON bool
	every  time.Duration // 0 to look once
	out    io.Writer
}

func (a *app) whoCommand() *cobra.Command {
	var v whoView
	var watch bool
	cmd := &cobra.Command{
		Use:   "who KEY…",
		Short: "Tell who holds a lock, for how long, and who waits",
		Long: `Asks all nodes and changes nothing. What it tells is outdated when it is printed.

With --watch a terminal shows it live, until it is interrupted. In a pipe there is a line for each
change then. With --json each look is a line with an object.

It exits with 69 if too few nodes answered to tell.`,
		Args: func(_ *cobra.Command, keys []string) error {
			if len(keys) == 0 {
				return errors.New("a key is missing, as in: redlock who KEY")
			}
			if slices.Contains(keys, "") {
				return errors.New("an empty key")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, keys []string) error {
			if v.every <= 0 {
				return fmt.Errorf("--every %v: want more than 0", v.every)
			}
			return a.ask(func(ctx context.Context, l *redlock.Locker) error {
				v.locker, v.keys, v.out = l, keys, cmd.OutOrStdout()
				if watch {
					return v.watch(ctx)
				}
				return v.once(ctx)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&v.asJSON, "json", false, "print objects in JSON, one a line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	cmd.Flags().DurationVar(&v.every, "every", time.Second, "how often to look with --watch")
	return cmd
}

// errUnknown is a verdict that is one of the nodes'.
var errUnknown = fmt.Errorf("%w to tell", redlock.ErrNoQuorum)

// look asks for all keys at the same time.
func (v *whoView) look(ctx context.Context) ([]redlock.State, error) {
	states, errs := make([]redlock.State, len(v.keys)), make([]error, len(v.keys))
	var all sync.WaitGroup
	for i, key := range v.keys {
		all.Go(func() { states[i], errs[i] = v.locker.Inspect(ctx, key) })
	}
	all.Wait()
	return states, errors.Join(errs...)
}

// once shows how things stand.
func (v *whoView) once(ctx context.Context) error {
	states, err := v.look(ctx)
	if err != nil {
		return err
	}
	for i, s := range states {
		if i > 0 && !v.asJSON {
			if _, err := fmt.Fprintln(v.out); err != nil {
				return err
			}
		}
		if err := show(v.out, s, v.asJSON); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(states, func(s redlock.State) bool { return s.Verdict == redlock.VerdictUnknown }) {
		return errUnknown
	}
	return nil
}

// show prints something for people, or an object in JSON in one line.
func show(out io.Writer, v fmt.Stringer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	_, err := fmt.Fprintln(out, v)
	return err
}

// watch shows it again and again.
func (v *whoView) watch(ctx context.Context) error {
	var screen *screen
	if !v.asJSON {
		screen = newScreen(v.out)
		defer screen.close()
	}
	last := make([]string, len(v.keys))
	for tick := time.NewTicker(v.every); ; {
		states, err := v.look(ctx)
		switch {
		case err != nil:
			return err
		case screen != nil:
			screen.draw(states, v.every)
		default:
			if err := v.lines(states, last); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-screen.events():
			screen.obey(s)
		case <-tick.C:
		}
	}
}

// lines prints all states in JSON, or else a line for each key of which something else is to
// be told than last time.
func (v *whoView) lines(states []redlock.State, last []string) error {
	for i, s := range states {
		if v.asJSON {
			if err := show(v.out, s, true); err != nil {
				return err
			}
			continue
		}
		if now := essence(s); now != last[i] {
			last[i] = now
			line, _, _ := strings.Cut(s.String(), "\n")
			if _, err := fmt.Fprintln(v.out, s.At.Format(time.RFC3339), line); err != nil {
				return err
			}
		}
	}
	return nil
}

// essence is what of a state does not change by the passing of time alone.
func essence(s redlock.State) string {
	return fmt.Sprint(s.Verdict, s.Holder.Mark, s.Token, len(s.Waiting))
}
