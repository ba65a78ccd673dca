package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"hyco-sidecar/test/program"
)

// world is all processes of a measurement.
type world struct {
	far far // where the roles are

	scratch string // folder of the program and the certificate; gone with the world
	self    string // this program
	target  string // address of the target
	relay   string // of the relay, where the sidecar goes
	front   string // where the baseline goes
	against string // path of an earlier sidecar in place of the baseline; empty = none

	program.Group
	loopback program.Loopback
}

// far is where the roles are: on this machine's loopback, or in a network namespace
// of their own.
type far struct {
	ip      string   // empty: 127.0.0.1
	command []string // begins a program there; empty: none is needed
}

// newWorld builds the sidecar and starts everything behind the forwarders.
func newWorld(ctx context.Context, far far, against string) (w *world, err error) {
	w = &world{far: far, against: against}
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
	if err := writeCertificate(w.scratch, cmp.Or(far.ip, "127.0.0.1")); err != nil {
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
	argv := slices.Concat(w.far.command, []string{w.self}, args)
	p, err := w.Start(program.Command{Path: argv[0], Args: argv[1:], Env: []string{roleVariable + "=" + role, addressVariable + "=" + w.far.ip}})
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
