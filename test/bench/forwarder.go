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
	addresses map[fakelistener.Personality]string // where the app connects to, by the listener at the far end
}

// baseline starts the baseline forwarder, whose way leads to front.
func (w *world) baseline(ctx context.Context, front string) (*forwarder, error) {
	p, err := w.Start(program.Command{Path: w.self, Args: []string{w.scratch, front}, Env: []string{roleVariable + "=baseline"}})
	if err != nil {
		return nil, err
	}
	address, err := w.address(ctx, "baseline", p)
	if err != nil {
		return nil, err
	}
	f := &forwarder{Process: p, name: "baseline", addresses: make(map[fakelistener.Personality]string)}
	for _, personality := range personalities {
		f.addresses[personality] = address
	}
	return f, nil
}

// sidecar starts hyco-sidecar, whose relay is at the address given; settings are
// added to what every sidecar here has.
func (w *world) sidecar(ctx context.Context, relay string, settings ...string) (*forwarder, error) {
	dns, err := program.FreeAddress(w.loopback.IP())
	if err != nil {
		return nil, err
	}
	f := &forwarder{name: "sidecar", addresses: make(map[fakelistener.Personality]string)}
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
	if f.Process, err = w.Start(program.Command{Path: filepath.Join(w.scratch, "hyco-sidecar"), Env: append(env, settings...)}); err != nil {
		return nil, err
	}
	_, err = f.Await(ctx, &f.Stderr, `"msg":"ready"`)
	return f, err
}

// pair starts a fresh sidecar, with its defaults, and a fresh baseline.
func (w *world) pair(ctx context.Context) (sidecar, baseline *forwarder, err error) {
	if sidecar, err = w.sidecar(ctx, w.relay); err != nil {
		return nil, nil, err
	}
	baseline, err = w.baseline(ctx, w.front)
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
func (f *forwarder) add(to *frame.Figure, value float64) {
	if f.name == "baseline" {
		to.Add(1, value)
	} else {
		to.Add(0, value)
	}
}
