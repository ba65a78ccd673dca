package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"hyco-sidecar/test/program"
)

// world is all processes of a run.
type world struct {
	scratch   string // folder of the program and of files for the others; gone with the world
	tools     *tools
	against   string // path of an earlier sidecar in place of the others; empty = none
	upstream  string // address
	names     *names
	addresses map[string]string // of the own names

	program.Group
	loopback program.Loopback
}

// newWorld builds the sidecar and starts the upstream.
func newWorld(ctx context.Context, tools *tools, against string) (w *world, err error) {
	w = &world{tools: tools, against: against, names: newNames(), addresses: make(map[string]string)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, name := range w.names.own {
		w.addresses[name] = w.loopback.IP()
	}
	if w.scratch, err = os.MkdirTemp("", "hyco-dnsbench-"); err != nil {
		return nil, err
	}
	if err := program.Build(ctx, w.scratch, false, "hyco-sidecar/cmd/hyco-sidecar"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := w.Start(program.Command{Path: self, Env: []string{roleVariable + "=upstream"}})
	if err != nil {
		return nil, err
	}
	line, err := p.Await(ctx, &p.Stdout, listeningText)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	w.upstream = strings.TrimPrefix(line, listeningText)
	return w, nil
}

func (w *world) close() {
	w.Kill()
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch) // a few files in the system's folder for such
	}
}
