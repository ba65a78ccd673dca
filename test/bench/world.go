package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"hyco-sidecar/test/program"
)

// world is all processes of a measurement.
type world struct {
	scratch string // folder of the program and the certificate; gone with the world
	self    string // this program
	target  string // address of the target
	relay   string // of the relay, where the sidecar goes
	front   string // where the baseline goes

	program.Group
	loopback program.Loopback
}

// newWorld builds the sidecar and starts everything behind the forwarders.
func newWorld(ctx context.Context) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if w.scratch, err = os.MkdirTemp("", "hyco-bench-"); err != nil {
		return nil, err
	}
	if err := program.Build(ctx, w.scratch, false, "hyco-sidecar/cmd/hyco-sidecar"); err != nil {
		return nil, err
	}
	if err := writeCertificate(w.scratch); err != nil {
		return nil, err
	}
	if w.target, err = w.role(ctx, "target"); err != nil {
		return nil, err
	}
	back, err := w.role(ctx, "back", w.scratch, w.target)
	if err != nil {
		return nil, err
	}
	if w.front, err = w.role(ctx, "front", w.scratch, back); err != nil {
		return nil, err
	}
	w.relay, err = w.startRelay(ctx)
	return w, err
}

// startRelay starts a relay with its listeners and returns its address.
func (w *world) startRelay(ctx context.Context, curves ...string) (address string, err error) {
	if address, err = w.role(ctx, "relay", append([]string{w.scratch}, curves...)...); err != nil {
		return "", err
	}
	return w.role(ctx, "listener", w.scratch, address, w.target)
}

// role starts this program in one of its roles and returns the address that it
// listens on.
func (w *world) role(ctx context.Context, role string, args ...string) (address string, err error) {
	p, err := w.Start(program.Command{Path: w.self, Args: args, Env: []string{roleVariable + "=" + role}})
	if err != nil {
		return "", err
	}
	return w.address(ctx, role, p)
}

func (w *world) address(ctx context.Context, role string, p *program.Process) (string, error) {
	line, err := p.Await(ctx, &p.Stdout, listeningText)
	if err != nil {
		return "", fmt.Errorf("%s: %w", role, err)
	}
	return strings.TrimPrefix(line, listeningText), nil
}

func (w *world) close() {
	w.Kill()
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch) // a few files in the system's folder for such
	}
}
