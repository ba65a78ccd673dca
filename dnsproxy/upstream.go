package dnsproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// budget bounds the time for one query, all upstreams together. It is
	// below the 5 s after which glibc, musl and Go's resolver give up, so that
	// they read a SERVFAIL instead of asking again.
	budget = 4500 * time.Millisecond

	// silence is how long an upstream that did not answer is asked last.
	silence = 10 * time.Second
)

var (
	errNoUpstreams = errors.New("no usable DNS upstream is set")
	errNoAnswer    = errors.New("no DNS upstream answered")
)

// A pool is the upstreams with what has been learnt about them.
type pool struct {
	upstreams []*upstream
	timeout   time.Duration
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	log       *slog.Logger
	asked     func(Asked)
	starved   episode
}

type upstream struct {
	addr        netip.AddrPort
	loops       atomic.Bool  // leads back to us: never asked
	silentUntil atomic.Int64 // in Unix nanoseconds; asked last until then
}

// forward returns the best answer to q that can be had in time, with q's id.
// A client on "tcp" gets a reply that was truncated over UDP in full.
func (p *pool) forward(ctx context.Context, q *query, network string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	order := p.order(time.Now())
	if len(order) == 0 {
		return nil, errNoUpstreams
	}
	if len(order) == 1 {
		order = append(order, order[0]) // from another port: one lost datagram is not a dead upstream
	}
	deadline, _ := ctx.Deadline()
	var failure []byte
	for i, u := range order {
		share := time.Until(deadline) / time.Duration(len(order)-i)
		reply, err := p.try(ctx, u, q, network, min(p.timeout, share))
		switch {
		case ctx.Err() != nil && err != nil:
			return orNoAnswer(failure)
		case err != nil:
			continue
		case !failed(reply):
			return reply, nil
		case failure == nil:
			failure = reply
		}
		if i+1 < len(order) && order[i+1] == u {
			break // it has answered: the second attempt was for silence
		}
	}
	return orNoAnswer(failure)
}

func orNoAnswer(failure []byte) ([]byte, error) {
	if failure == nil {
		return nil, errNoAnswer
	}
	return failure, nil
}

// failed reports whether another upstream may know better.
func failed(reply []byte) bool {
	rcode := rcodeOf(reply)
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused
}

// order returns the upstreams to ask: those that were silent lately last.
func (p *pool) order(now time.Time) []*upstream {
	order := make([]*upstream, 0, len(p.upstreams)+1)
	for _, silent := range []bool{false, true} {
		for _, u := range p.upstreams {
			if !u.loops.Load() && (u.silentUntil.Load() > now.UnixNano()) == silent {
				order = append(order, u)
			}
		}
	}
	return order
}

// try asks one upstream and remembers how it went.
func (p *pool) try(ctx context.Context, u *upstream, q *query, network string, timeout time.Duration) ([]byte, error) {
	start := time.Now()
	reply, err := p.ask(ctx, u, q, network, timeout)
	if errors.Is(ctx.Err(), context.Canceled) {
		return reply, err // we are stopping, which says nothing about the upstream
	}
	report := Asked{Upstream: u.addr, Took: time.Since(start), Err: err}
	if err == nil {
		report.Rcode = rcodeOf(reply)
		if u.silentUntil.Swap(0) != 0 {
			p.log.LogAttrs(ctx, slog.LevelInfo, "DNS upstream answers again", slog.String("upstream", u.addr.String()))
		}
	} else if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		p.starved.tell(ctx, p.log, "DNS queries fail: raise the limit of open files (ulimit -n)", slog.Any("error", err))
	} else if u.silentUntil.Swap(time.Now().Add(silence).UnixNano()) == 0 {
		p.log.LogAttrs(ctx, slog.LevelWarn, "DNS upstream does not answer",
			slog.String("upstream", u.addr.String()), slog.Any("error", err))
	}
	if p.asked != nil {
		p.asked(report)
	}
	return reply, err
}

// An episode is told about once a minute while it lasts. The zero value is ready.
type episode struct{ told atomic.Int64 }

func (e *episode) tell(ctx context.Context, log *slog.Logger, msg string, attrs ...slog.Attr) {
	now := time.Now().UnixNano()
	last := e.told.Load()
	if now-last >= int64(time.Minute) && e.told.CompareAndSwap(last, now) {
		log.LogAttrs(ctx, slog.LevelWarn, msg, attrs...)
	}
}
