package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/b0401464/redlock"
)

func (a *app) doctorCommand() *cobra.Command {
	var ttl, quarantine time.Duration
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell whether the nodes are fit for locks",
		Long: `Asks each node what it is and how far away, takes and releases a lock there, and says what is
not as it should be and what to do about it. It leaves nothing on the nodes.

It exits with 1 if locks are refused, or may be lost or granted twice.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Millisecond {
				return fmt.Errorf("--ttl %v: want at least 1ms", ttl)
			}
			given := cmd.Flags().Changed
			if err := checkQuarantine(given, quarantine, ttl); err != nil {
				return err
			}
			var opts []redlock.Option
			if given(quarantineFlag) {
				opts = append(opts, redlock.WithRestartQuarantine(quarantine))
			}
			return a.ask(func(ctx context.Context, l *redlock.Locker) error {
				report, err := l.Check(ctx, ttl)
				if err != nil {
					return err
				}
				if err := show(cmd.OutOrStdout(), report, asJSON); err != nil {
					return err
				}
				if worst := report.Worst(); worst >= redlock.SeverityUnsafe || strict && worst > 0 {
					return &exitError{code: 1}
				}
				return nil
			}, opts...)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", defaultTTL, "TTL of the locks that the nodes are to keep")
	cmd.Flags().DurationVar(&quarantine, quarantineFlag, 0, quarantineUsage)
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 whatever is found")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object in JSON")
	return cmd
}
