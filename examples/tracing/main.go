// Command tracing shows the spans and metrics of the redlock library: two
// services, billing and reports, contend for one lock on three nodes, and the
// last node is slow. The spans of the Redis commands are those of redisotel.
//
//	go run .                          # a tree of the spans, with their times
//	go run . -json                    # spans and metrics as JSON, one a line
//	go run . -svg trace.svg           # and the trace as a picture
//	go run . -addrs 10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go run .
//
// Without -addrs it brings its own nodes, so nothing needs to be installed.
// Where else spans and metrics go is told by the usual environment variables of
// OpenTelemetry: to an OTLP endpoint if one is named, by the protocol in
// OTEL_EXPORTER_OTLP_PROTOCOL, or to the exporter named in OTEL_TRACES_EXPORTER
// and OTEL_METRICS_EXPORTER.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "tracing:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// config is what the command line asks for.
type config struct {
	addrs []string // none: embedded nodes
	cold  bool
	json  bool
	svg   string // empty: no picture
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("tracing", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&c.cold, "cold", false, "show how connections are made, and scripts that no node knows yet")
	f.BoolVar(&c.json, "json", false, "print spans and metrics as JSON, one a line, instead of a tree of the spans")
	f.StringVar(&c.svg, "svg", "", "`file` to draw the trace into")
	f.Func("addrs", "`host:port,…` of real, independent Redis servers to run on (default: three embedded ones)", func(s string) error {
		c.addrs = strings.Split(s, ",")
		for _, addr := range c.addrs {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return err
			}
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	n, err := startNodes(c.addrs)
	if err != nil {
		return err
	}
	defer n.close()
	if !c.cold {
		if err := warmUp(ctx, n.addrs); err != nil {
			return err
		}
	}
	var spans collector
	silent, err := contend(ctx, c, n, &spans, stdout)
	if err == nil && silent {
		err = writeTree(stdout, spans.all(), n.addrs)
	}
	if err != nil || c.svg == "" {
		return err
	}
	if err := os.WriteFile(c.svg, draw(spans.all(), n.addrs), 0o644); err != nil { //nolint:gosec // a picture to show around
		return err
	}
	_, err = fmt.Fprintf(stderr, "%s shows %d spans\n", c.svg, len(spans.all()))
	return err
}

// closeTimeout covers what the slowest node owes, and the last export.
const closeTimeout = 10 * time.Second

// contend lets both services work under the same lock. reports begins when
// billing has the lock. It reports whether their spans have gone nowhere.
func contend(ctx context.Context, c config, n *nodes, spans *collector, stdout io.Writer) (silent bool, err error) {
	var out io.Writer
	if c.json {
		out = &lockedWriter{w: stdout}
	}
	var services []*service
	defer func() {
		over, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		for _, s := range services {
			err = errors.Join(err, s.close(over))
		}
	}()
	for _, name := range []string{"billing", "reports"} {
		e, err := newExport(ctx, out)
		if err != nil {
			return false, err
		}
		silent = e.silent
		e.spans = append(e.spans, spans)
		s, err := newService(name, n.addrs, e)
		if err != nil {
			return false, err
		}
		services = append(services, s)
		if !c.cold {
			if err := s.connect(ctx); err != nil {
				return false, err
			}
		}
		if err := s.instrument(); err != nil {
			return false, err
		}
	}

	locked := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return services[0].work(ctx, "charge card", 80*time.Millisecond, func() { close(locked) })
	})
	g.Go(func() error {
		select {
		case <-locked:
		case <-ctx.Done():
			return ctx.Err()
		}
		return services[1].work(ctx, "write report", 60*time.Millisecond, func() {})
	})
	return silent, g.Wait()
}
