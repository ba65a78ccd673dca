package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 stopped by a signal, 1 failed while running, 2
// wrong arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 2
	}
	if err := s.identify(); err != nil {
		fmt.Fprintf(stderr, "hyco-devrelay: %v\n", err)
		return 2
	}
	if err := s.serve(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "hyco-devrelay: %v\n", err)
		return 1
	}
	return 0
}
