package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/listener"
)

// perDirection is what a connection may hold for each direction that stalls, in
// KiB.
const perDirection = 128

// flat is the growth, in KiB, that is none: five per cent of what is allowed.
const flat = 6

// endless is a length that no stream comes to.
const endless = 1 << 50

// stall is one way in which data comes to a stop.
type stall struct {
	name  string
	op    byte // of the target
	reads bool // the app asks for data without end, and takes none
	sends bool // the app sends without end, and the target takes nothing
}

func (s stall) allowed() float64 {
	if s.reads && s.sends {
		return 2 * perDirection
	}
	return perDirection
}

var stalls = []stall{
	{"stalled readers", opSource, true, false},
	{"senders to a target that does not read", opSilent, false, true},
	{"stalled readers that send as well", opSource, true, true},
}

// measureStalled shows that what a forwarder holds for a connection that nobody
// takes data from is little and does not grow. All kinds stall side by side, each
// in forwarders of its own: once stalled they disturb nobody.
func (b *bench) measureStalled(ctx context.Context) error {
	late, growth := make([]*frame.Figure, len(stalls)), make([]*frame.Figure, len(stalls))
	for i, s := range stalls {
		late[i] = b.Figure(fmt.Sprintf("memory per connection after %v, %d %s, KiB", b.late, b.stalled, s.name), frame.Bound{AtMost: s.allowed()})
		growth[i] = b.Figure(fmt.Sprintf("its growth since %v, KiB", b.early), frame.Bound{AtMost: flat})
	}
	for round := range b.Rounds {
		held, err := b.hold(ctx)
		if err != nil {
			return err
		}
		for _, h := range held {
			b.Say("round %d, %s, %s: %.1f KiB each after %v, %.1f KiB after %v", round+1, stalls[h.kind].name, h.forwarder.name,
				h.early, b.early, h.late, b.late)
			h.forwarder.add(late[h.kind], h.late)
			if h.forwarder.name == "sidecar" {
				h.forwarder.add(growth[h.kind], h.late-h.early)
			}
		}
	}
	return nil
}

// held is one forwarder with its stalled connections.
type held struct {
	forwarder   *forwarder
	kind        int   // of stalls
	before      int64 // bytes resident with no connection
	conns       []*net.TCPConn
	early, late float64 // KiB per connection
}

// hold is one round: it lets connections of all kinds stall, and waits.
func (b *bench) hold(ctx context.Context) ([]*held, error) {
	var all []*held
	var senders sync.WaitGroup
	defer senders.Wait()
	defer func() {
		for _, h := range all {
			closeAll(h.conns)
		}
	}()
	for kind := range stalls {
		sidecar, baseline, err := b.world.pair(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range []*forwarder{sidecar, baseline} {
			h := &held{forwarder: f, kind: kind}
			all = append(all, h)
			if err := h.fill(ctx, b.stalled); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", stalls[kind].name, f.name, err)
			}
		}
	}
	began := time.Now()
	for _, h := range all {
		for _, conn := range h.conns {
			senders.Go(func() {
				// It ends when the connection is closed, and so with an error.
				_ = stalls[h.kind].flow(conn, b.payload)
			})
		}
	}
	time.Sleep(time.Until(began.Add(b.early)))
	for _, h := range all {
		var err error
		if h.early, err = h.perConn(); err != nil {
			return nil, err
		}
	}
	time.Sleep(time.Until(began.Add(b.late)))
	var forwarders []*forwarder
	for _, h := range all {
		var err error
		if h.late, err = h.perConn(); err != nil {
			return nil, err
		}
		if n := h.open(); n < len(h.conns) {
			return nil, fmt.Errorf("%s, %s: %d of %d connections have broken off", stalls[h.kind].name, h.forwarder.name, len(h.conns)-n, len(h.conns))
		}
		forwarders = append(forwarders, h.forwarder)
	}
	return all, endAll(forwarders...)
}

func (h *held) fill(ctx context.Context, n int) (err error) {
	// The first connection brings in what all of them share.
	address := h.forwarder.addresses[listener.HalfClose]
	conns, err := openAll(ctx, address, opEcho, 1)
	closeAll(conns)
	if err != nil {
		return err
	}
	if h.before, err = h.forwarder.Resident(); err != nil {
		return err
	}
	h.conns, err = openAll(ctx, address, stalls[h.kind].op, n)
	return err
}

// flow makes a connection stall.
func (s stall) flow(conn net.Conn, p *payload) error {
	if s.reads {
		if _, err := conn.Write(appendLength(appendLength(nil, p.somewhere()), endless)); err != nil {
			return err
		}
	}
	if s.sends {
		_, err := p.send(conn, p.somewhere(), endless)
		return err
	}
	return nil
}

// open is how many of the connections are still there.
func (h *held) open() (n int) {
	for _, conn := range h.conns {
		if established(conn) {
			n++
		}
	}
	return n
}

func (h *held) perConn() (float64, error) {
	now, err := h.forwarder.Resident()
	return float64(now-h.before) / 1024 / float64(len(h.conns)), err
}
