package dnsproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// errSilent is the failure of an upstream that sends nothing.
var errSilent = errors.New("no reply in time")

// A pool is the upstreams with what has been learnt about them.
type pool struct {
	upstreams []*upstream
	timeout   time.Duration
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	epoch     time.Time // upstream.heard is counted from it: the wall clock may be set back
	noFiles   rateLimit // of the warning that the process has no descriptors left

	log        *slog.Logger
	onAsked    func(Asked)     // nil if nobody wants to know
	onDropped  func(Dropped)   // never nil
	ctx        context.Context // of Serve
	goroutines *sync.WaitGroup // the proxy's
	guarded    func(f func()) func()
}

// An upstream is one of the resolvers behind us. It is up, suspect or silent.
// While it is up it is asked in its turn. A suspect one has let a query wait for
// longer than patience and is asked after those that are up; a silent one has let
// it wait for its whole time and is asked last. Watch probes it until it is up
// again.
type upstream struct {
	addr    netip.AddrPort
	loops   atomic.Bool // leads back to us: never asked
	suspect atomic.Bool
	silent  atomic.Bool
	heard   atomic.Int64  // when it last replied, in nanoseconds since the pool's epoch
	trouble chan struct{} // wakes watch when the upstream becomes suspect or silent

	reported atomic.Bool // the log says that it does not answer
	warning  rateLimit   // of the warning that says so

	mu     sync.Mutex
	socket *socket // for the next query; nil or used up means a new one
}

// newUpstream returns the upstream at addr, which counts as up.
func newUpstream(addr netip.AddrPort) *upstream {
	return &upstream{addr: addr, trouble: make(chan struct{}, 1)}
}

// failed reports whether another upstream may know better.
func failed(reply []byte) bool {
	rcode := rcodeOf(reply)
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused
}

// order returns the upstreams to ask: those that are up, then the suspect ones,
// then the silent ones, each group in the order given.
func (p *pool) order() []*upstream {
	// The state of each is read once, for a probe may change it meanwhile.
	order := make([]*upstream, 0, len(p.upstreams)+1)
	var suspect, silent []*upstream
	for _, u := range p.upstreams {
		switch {
		case u.loops.Load():
		case u.silent.Load():
			silent = append(silent, u)
		case u.suspect.Load():
			suspect = append(suspect, u)
		default:
			order = append(order, u)
		}
	}
	return append(append(order, suspect...), silent...)
}

// allSilent reports whether no upstream is known to answer.
func (p *pool) allSilent() bool {
	for _, u := range p.upstreams {
		if !u.loops.Load() && !u.silent.Load() {
			return false
		}
	}
	return true
}

// noteReply notes that an upstream has answered.
func (p *pool) noteReply(ctx context.Context, a *attempt, reply []byte) {
	p.markUp(ctx, a.u)
	if p.onAsked != nil {
		p.onAsked(Asked{Upstream: a.u.addr, Took: time.Since(a.began), Rcode: rcodeOf(reply)})
	}
}

// noteFailure notes that an upstream could not be asked or did not answer.
func (p *pool) noteFailure(ctx context.Context, a *attempt, err error) {
	if ctx.Err() != nil {
		return // we are stopping, which says nothing about the upstream
	}
	switch {
	case outOfFiles(err):
		if p.noFiles.allow() {
			p.log.LogAttrs(ctx, slog.LevelWarn, "DNS queries fail: too many open files", slog.Any("error", err))
		}
	case a.u.heard.Load() <= int64(a.began.Sub(p.epoch)) && !a.u.silent.Swap(true):
		a.u.wakeWatch()
	}
	if p.onAsked != nil {
		p.onAsked(Asked{Upstream: a.u.addr, Took: time.Since(a.began), Err: err})
	}
}

// markUp notes that an upstream answers.
func (p *pool) markUp(ctx context.Context, u *upstream) {
	u.heard.Store(int64(time.Since(p.epoch)))
	if u.suspect.Load() { // rarely: a load costs other CPUs less than a store
		u.suspect.Store(false)
	}
	if u.silent.Load() {
		u.silent.Store(false)
	}
	if u.reported.Load() && u.reported.Swap(false) {
		p.log.LogAttrs(ctx, slog.LevelInfo, "DNS upstream answers again", slog.String("upstream", u.addr.String()))
	}
}

// markSuspect notes that an attempt has waited for longer than patience. If
// anything came from its upstream since it began, that stays up.
func (p *pool) markSuspect(a *attempt) {
	if a.u.heard.Load() < int64(a.began.Sub(p.epoch)) && !a.u.suspect.Swap(true) {
		a.u.wakeWatch()
	}
}

// markDown notes that an upstream did not answer a probe that began then, and
// warns once until it is up again. If anything came from it since, it stays up.
func (p *pool) markDown(ctx context.Context, u *upstream, began time.Time, err error) {
	if ctx.Err() != nil || u.heard.Load() > int64(began.Sub(p.epoch)) || outOfFiles(err) {
		return
	}
	u.silent.Store(true)
	if !u.reported.Load() && u.warning.allow() && !u.reported.Swap(true) {
		p.log.LogAttrs(ctx, slog.LevelWarn, "DNS upstream does not answer",
			slog.String("upstream", u.addr.String()), slog.Any("error", err))
	}
}

// wakeWatch has watch probe the upstream.
func (u *upstream) wakeWatch() {
	select {
	case u.trouble <- struct{}{}:
	default: // it is awake
	}
}

// outOfFiles reports whether err is our lack of descriptors, which says nothing
// about an upstream.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
