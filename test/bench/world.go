package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"hyco-sidecar/test/program"
)

// world is all processes of a measurement.
type world struct {
	scratch string // folder of the program and the certificate; gone with the world
	self    string // this program
	target  string // address of the target
	relay   string // of the relay, where the sidecar goes
	front   string // where the baseline goes

	mu        sync.Mutex
	processes []*program.Process
	dead      bool // nothing is started any more
	ips       int  // handed out
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
	p, err := w.start(program.Command{Path: w.self, Args: args, Env: []string{roleVariable + "=" + role}})
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

func (w *world) start(c program.Command) (*program.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil, fmt.Errorf("%s: not started, for the run is being ended", c.Path)
	}
	p, err := program.Start(c)
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

// kill ends every process at once, and so everything that waits for one.
func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for _, p := range w.processes {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range w.processes {
		<-p.Ended()
	}
}

func (w *world) close() {
	w.kill()
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch) // a few files in the system's folder for such
	}
}
