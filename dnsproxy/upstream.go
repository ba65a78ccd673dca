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

// errSilent is the failure of an upstream that says nothing.
var errSilent = errors.New("no reply in time")

// A pool is the upstreams with what has been learnt about them.
type pool struct {
	upstreams []*upstream
	timeout   time.Duration
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	log       *slog.Logger
	asked     func(Asked)
	dropped   func(Dropped)
	starved   episode
	epoch     time.Time // heard is counted from it: the wall clock may be set back

	ctx      context.Context // of Serve
	running  *sync.WaitGroup // likewise
	panicked guard
}

// An upstream is one of the resolvers behind us. It is asked first while it
// answers. Once it does not, probes find out when it does again (watch).
type upstream struct {
	addr     netip.AddrPort
	loops    atomic.Bool   // leads back to us: never asked
	silent   atomic.Bool   // had its time and said nothing: asked last
	reported atomic.Bool   // the log says that it does not answer
	told     episode       // of that
	doubtful atomic.Bool   // is not heard of for a while: asked after others
	heard    atomic.Int64  // when it last replied, in nanoseconds of the pool's time
	trouble  chan struct{} // to watch: it is doubtful or silent

	mu   sync.Mutex
	lane *lane // for the next query; nil or used up means a new one
}

func newUpstream(addr netip.AddrPort) *upstream {
	return &upstream{addr: addr, trouble: make(chan struct{}, 1)}
}

// failed reports whether another upstream may know better.
func failed(reply []byte) bool {
	rcode := rcodeOf(reply)
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused
}

// order returns the upstreams to ask, in the order given but for those that do
// not answer.
func (p *pool) order() []*upstream {
	// Each is looked at once, for a probe may find meanwhile that it answers.
	order := make([]*upstream, 0, len(p.upstreams)+1)
	var doubtful, silent []*upstream
	for _, u := range p.upstreams {
		switch {
		case u.loops.Load():
		case u.silent.Load():
			silent = append(silent, u)
		case u.doubtful.Load():
			doubtful = append(doubtful, u)
		default:
			order = append(order, u)
		}
	}
	return append(append(order, doubtful...), silent...)
}

// silent reports whether no upstream is known to answer.
func (p *pool) silent() bool {
	for _, u := range p.upstreams {
		if !u.loops.Load() && !u.silent.Load() {
			return false
		}
	}
	return true
}

// noteReply notes that an upstream has answered.
func (p *pool) noteReply(ctx context.Context, a *asking, reply []byte) {
	p.back(ctx, a.u)
	if p.asked != nil {
		p.asked(Asked{Upstream: a.u.addr, Took: time.Since(a.began), Rcode: rcodeOf(reply)})
	}
}

// back notes that an upstream is there.
func (p *pool) back(ctx context.Context, u *upstream) {
	u.heard.Store(int64(time.Since(p.epoch)))
	if u.doubtful.Load() {
		u.doubtful.Store(false)
	}
	if u.silent.Load() {
		u.silent.Store(false)
	}
	if u.reported.Load() && u.reported.Swap(false) {
		p.log.LogAttrs(ctx, slog.LevelInfo, "DNS upstream answers again", slog.String("upstream", u.addr.String()))
	}
}

// doubt notes that an asking waits for long and nothing came from its upstream
// meanwhile.
func (p *pool) doubt(a *asking) {
	if a.u.heard.Load() < int64(a.began.Sub(p.epoch)) && !a.u.doubtful.Swap(true) {
		a.u.alarm()
	}
}

// gone notes that an upstream did not answer a probe that began then, nor
// anything since.
func (p *pool) gone(ctx context.Context, u *upstream, began time.Time, err error) {
	if ctx.Err() != nil || u.heard.Load() > int64(began.Sub(p.epoch)) || starving(err) {
		return
	}
	u.silent.Store(true)
	if !u.reported.Load() && u.told.due() && !u.reported.Swap(true) {
		p.log.LogAttrs(ctx, slog.LevelWarn, "DNS upstream does not answer",
			slog.String("upstream", u.addr.String()), slog.Any("error", err))
	}
}

// alarm has watch look.
func (u *upstream) alarm() {
	select {
	case u.trouble <- struct{}{}:
	default:
	}
}

// starving reports whether err is our lack of descriptors, which says nothing about
// an upstream.
func starving(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// noteFailure notes that an upstream could not be asked or did not answer.
func (p *pool) noteFailure(ctx context.Context, a *asking, err error) {
	if ctx.Err() != nil {
		return // we are stopping, which says nothing about the upstream
	}
	if starving(err) {
		p.starved.tell(ctx, p.log, "DNS queries fail: raise the limit of open files (ulimit -n)", slog.Any("error", err))
	} else if a.u.heard.Load() <= int64(a.began.Sub(p.epoch)) && !a.u.silent.Swap(true) {
		a.u.alarm()
	}
	if p.asked != nil {
		p.asked(Asked{Upstream: a.u.addr, Took: time.Since(a.began), Err: err})
	}
}

// An episode is told about once a minute while it lasts; a clock that was set back
// looks like a long time. The zero value is ready.
type episode struct{ told atomic.Int64 }

func (e *episode) tell(ctx context.Context, log *slog.Logger, msg string, attrs ...slog.Attr) {
	if e.due() {
		log.LogAttrs(ctx, slog.LevelWarn, msg, attrs...)
	}
}

// due reports whether it is time to tell, which the caller then does.
func (e *episode) due() bool {
	now := time.Now().UnixNano()
	last := e.told.Load()
	return uint64(now-last) >= uint64(time.Minute) && e.told.CompareAndSwap(last, now)
}
