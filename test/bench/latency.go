package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

// requestSize is small enough that only the way counts.
const requestSize = 64

// asker sends a request and waits for as many bytes as the answer.
type asker func(request []byte) error

// The ways that requests take.
const (
	direct = iota // to the target, with nothing between
	throughSidecar
	throughBaseline
	fromRelay // the sidecar's way without it: the app speaks to the relay itself
	fromFront // the baseline's way without it
)

// measureLatency asks and waits for the answer, again and again, on all ways.
func (b *bench) measureLatency(ctx context.Context) error {
	sidecar, baseline, err := b.world.pair(ctx)
	if err != nil {
		return err
	}
	ways, conns, err := b.world.ways(ctx, sidecar, baseline)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	if err != nil {
		return err
	}
	p50 := b.Figure("request latency p50, µs", frame.Bound{})
	p99 := b.Figure("request latency p99, µs", frame.Bound{})
	added := b.Figure("", frame.Bound{RatioAtMost: 1.3})
	without := b.Figure("request latency p50 without a forwarder, from relay or front on, µs", frame.Bound{})
	own := b.Figure("request latency p50 added by the forwarder itself, µs", frame.Bound{})
	baselineFrom := fromFront
	if b.world.against != "" {
		baselineFrom = fromRelay
	}
	var directs []float64
	for round := range b.Rounds {
		all, err := askAll(ways, b.pings)
		if err != nil {
			return err
		}
		half := make([]float64, len(all))
		for i := range all {
			half[i] = quantile(all[i], 0.5)
		}
		directs = append(directs, half[direct])
		for _, w := range []struct {
			f             *forwarder
			through, from int
		}{{sidecar, throughSidecar, fromRelay}, {baseline, throughBaseline, baselineFrom}} {
			most := quantile(all[w.through], 0.99)
			b.Say("round %d, latency, %s: p50 %.0f µs, p99 %.0f µs; without it p50 %.0f µs, directly %.0f µs",
				round+1, w.f.name, half[w.through], most, half[w.from], half[direct])
			w.f.add(p50, half[w.through])
			w.f.add(p99, most)
			w.f.add(added, half[w.through]-half[direct])
			w.f.add(without, half[w.from])
			w.f.add(own, half[w.through]-half[w.from])
		}
	}
	added.Name = fmt.Sprintf("request latency p50 added to the direct way's %s µs, µs", frame.Number(frame.Median(directs)))
	return endAll(sidecar, baseline)
}

// ways opens a connection on each way. The caller closes conns, even after an
// error.
func (w *world) ways(ctx context.Context, sidecar, baseline *forwarder) (ways []asker, conns []io.Closer, err error) {
	for _, address := range []string{
		direct:          w.target,
		throughSidecar:  sidecar.addresses[fakelistener.HCM],
		throughBaseline: baseline.addresses[fakelistener.HCM],
	} {
		conn, err := open(ctx, address, opEcho)
		if err != nil {
			return nil, conns, err
		}
		ways, conns = append(ways, asks(conn)), append(conns, conn)
	}
	tunnel, err := w.dialRelay(ctx)
	if err != nil {
		return nil, conns, err
	}
	asksTunnel := func(request []byte) error {
		const binary = 0x2 // RFC 6455 section 5.2
		if err := tunnel.WriteFrame(binary, true, request); err != nil {
			return err
		}
		_, _, err := tunnel.ReadStream(len(request))
		return err
	}
	ways, conns = append(ways, asksTunnel), append(conns, tunnel.TLS)
	front, err := w.dialFront(ctx)
	if err != nil {
		return nil, conns, err
	}
	ways, conns = append(ways, asks(front)), append(conns, front)
	for _, ask := range ways[fromRelay:] {
		if err := ask([]byte{opEcho}); err != nil {
			return nil, conns, err
		}
	}
	return ways, conns, nil
}

// asks is an asker on a connection without frames.
func asks(conn net.Conn) asker {
	return func(request []byte) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, request)
		return err
	}
}

// dialRelay opens a tunnel without a forwarder.
func (w *world) dialRelay(ctx context.Context) (*rawsender.Conn, error) {
	roots, err := rootCAs(w.scratch)
	if err != nil {
		return nil, err
	}
	e := entity(fakelistener.HCM)
	token := fakerelay.SAS("http://127.0.0.1/"+e.Path+"/", e.Rules[0], time.Now().Add(time.Hour))
	conn, resp, err := rawsender.Dialer{
		Addr: w.relay, Host: w.relay, RootCAs: roots,
		Header: http.Header{"ServiceBusAuthorization": {token}},
	}.Request(ctx, "/$hc/"+e.Path+"?sb-hc-action=connect")
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		conn.TLS.Close()
		return nil, fmt.Errorf("the relay answered %s", resp.Status)
	}
	return conn, nil
}

// dialFront opens a connection to the front, where the baseline goes.
func (w *world) dialFront(ctx context.Context) (net.Conn, error) {
	config, err := clientConfig(w.scratch)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: config}
	return d.DialContext(ctx, "tcp", w.front)
}

// askAll returns how long n requests by each of the askers took, in ascending
// order. A hundred by one are followed by a hundred by the next, so that all meet
// the same noise.
func askAll(ways []asker, n int) ([][]time.Duration, error) {
	const block = 100
	took := make([][]time.Duration, len(ways))
	for len(took[0]) < n {
		for i, ask := range ways {
			some, err := ask.times(min(block, n-len(took[i])))
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], some...)
		}
	}
	for _, durations := range took {
		slices.Sort(durations)
	}
	return took, nil
}

// times returns how long n requests took. Some before them are not counted.
func (ask asker) times(n int) ([]time.Duration, error) {
	const first = 5
	took := make([]time.Duration, 0, n)
	request := make([]byte, requestSize)
	for i := range first + n {
		began := time.Now()
		if err := ask(request); err != nil {
			return nil, err
		}
		if i >= first {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

// quantile of sorted durations, in µs.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Microsecond)
}
