package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/program"
)

// forwarder is the sidecar or the baseline at work.
type forwarder struct {
	*program.Process
	name      string
	column    int                                 // of the figures
	addresses map[fakelistener.Personality]string // where the app connects to, by the listener at the far end
}

// comparison starts what the sidecar is compared with: the baseline forwarder, whose way
// leads to front, or an earlier sidecar, whose way leads to relay as the sidecar's does.
func (w *world) comparison(ctx context.Context, relay, front string, settings ...string) (*forwarder, error) {
	if w.against == "" {
		return w.baseline(ctx, front)
	}
	return w.start(ctx, &forwarder{name: "before", column: 1}, w.against, relay, settings...)
}

// baseline starts the baseline forwarder.
func (w *world) baseline(ctx context.Context, front string) (*forwarder, error) {
	p, err := w.Start(program.Command{Path: w.self, Args: []string{w.scratch, front}, Env: []string{roleVariable + "=baseline"}})
	if err != nil {
		return nil, err
	}
	address, err := w.address(ctx, "baseline", p)
	if err != nil {
		return nil, err
	}
	f := &forwarder{Process: p, name: "baseline", column: 1, addresses: make(map[fakelistener.Personality]string)}
	for _, personality := range personalities {
		f.addresses[personality] = address
	}
	return f, nil
}

// sidecar starts hyco-sidecar, whose relay is at the address given; settings are
// added to what every sidecar here has.
func (w *world) sidecar(ctx context.Context, relay string, settings ...string) (*forwarder, error) {
	return w.start(ctx, &forwarder{name: "sidecar"}, filepath.Join(w.scratch, "hyco-sidecar"), relay, settings...)
}

// start makes f a sidecar, the program at path.
func (w *world) start(ctx context.Context, f *forwarder, path, relay string, settings ...string) (*forwarder, error) {
	dns, err := program.FreeAddress(w.loopback.IP())
	if err != nil {
		return nil, err
	}
	f.addresses = make(map[fakelistener.Personality]string)
	env := []string{
		"HYCO_DNS_LISTEN=" + dns,
		"HYCO_ADMIN_LISTEN=off",
		"HYCO_DNS_UPSTREAMS=127.0.0.1:9", // nobody is asked for other names
		"HYCO_CA_FILE=" + filepath.Join(w.scratch, caFile),
		"HYCO_MAX_CONNECTIONS=20000",
		"HYCO_DRAIN_TIMEOUT=100ms",
	}
	for i, personality := range personalities {
		ip := w.loopback.IP()
		address, err := program.FreeAddress(ip)
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(address) // it is one
		n := fmt.Sprintf("HYCO_CONNECTION_%d_", i)
		env = append(env,
			n+"ENDPOINT="+string(personality)+".corp.example:"+port,
			n+"CONNECTION_STRING="+connectionString(relay, personality),
			n+"ADDRESS="+ip)
		f.addresses[personality] = address
	}
	if f.Process, err = w.Start(program.Command{Path: path, Env: append(env, settings...)}); err != nil {
		return nil, err
	}
	_, err = f.Await(ctx, &f.Stderr, `"msg":"ready"`)
	return f, err
}

// pair starts a fresh sidecar, with its defaults, and what it is compared with.
func (w *world) pair(ctx context.Context) (sidecar, baseline *forwarder, err error) {
	if sidecar, err = w.sidecar(ctx, w.relay); err != nil {
		return nil, nil, err
	}
	baseline, err = w.comparison(ctx, w.relay, w.front)
	return sidecar, baseline, err
}

// end stops the forwarder. A sidecar that does not end as it should is an error.
func (f *forwarder) end() error {
	code, err := f.Stop(syscall.SIGTERM, 10*time.Second)
	if f.name != "baseline" && (code != 0 || err != nil) {
		return fmt.Errorf("the %s ended with exit code %d, %v\n%s", f.name, code, err, f.Stderr.Tail(4000))
	}
	return nil
}

// endAll ends forwarders that have done their part.
func endAll(all ...*forwarder) error {
	for _, f := range all {
		if err := f.end(); err != nil {
			return err
		}
	}
	return nil
}

// add adds a value of f's to the figure, in its column.
func (f *forwarder) add(to *frame.Figure, value float64) { to.Add(f.column, value) }
