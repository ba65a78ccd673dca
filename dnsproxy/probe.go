package dnsproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// probeFirst is the time from the first probe of an upstream that does not answer
	// to the second. Each further pause is twice as long, up to probeEvery.
	probeFirst = time.Second

	// probeEvery is the longest time from the start of a probe to the start of the
	// next, unless a probe takes longer: an upstream that is back is found to be so
	// about 4 s later at most.
	probeEvery = 4 * time.Second

	// canaryTries bounds how often an upstream that is silent or fails is asked
	// whether it leads back to us: a resolver may become ready only after us, but
	// not much later.
	canaryTries = 5
)

// errUnwell is the failure of an upstream that is there, and says that it fails.
var errUnwell = errors.New("it answers SERVFAIL or REFUSED")

// checkLoop finds out at the start whether an upstream leads back to us. It asks
// until it has an answer, canaryTries times at most.
func (p *proxy) checkLoop(ctx context.Context, u *upstream) {
	for try := range canaryTries {
		if try > 0 && !sleep(ctx, p.pool.timeout<<(try-1)) {
			return
		}
		if instance, err := p.pool.askInstance(ctx, u, probeName(p.instance)); err == nil {
			p.excludeIfLoop(ctx, u, instance)
			return
		}
	}
}

// watch probes an upstream that is suspect or silent until it is up again, and
// excludes it if it turns out to lead back to us. Queries do not find that out:
// each would wait in vain before.
func (p *proxy) watch(ctx context.Context, u *upstream) {
	for {
		select {
		case <-u.trouble:
		case <-ctx.Done():
			return
		}
		for pause := probeFirst; u.suspect.Load() || u.silent.Load(); pause = min(2*pause, probeEvery) {
			began := time.Now()
			instance, err := p.pool.askInstance(ctx, u, probeName(p.instance))
			if err == nil || errors.Is(err, errUnwell) {
				p.pool.markUp(ctx, u)
				p.excludeIfLoop(ctx, u, instance)
			} else {
				p.pool.markDown(ctx, u, began, err)
			}
			if !sleep(ctx, time.Until(began.Add(pause))) {
				return
			}
		}
	}
}

// excludeIfLoop excludes an upstream that gives our instance id, which only we
// know: queries sent there come back to us and multiply. Another sidecar passes
// the name on as it does any other: one behind us is welcome, one that leads back
// is not.
func (p *proxy) excludeIfLoop(ctx context.Context, u *upstream, instance string) {
	if instance == p.instance && !u.loops.Swap(true) {
		p.log.LogAttrs(ctx, slog.LevelError, "DNS upstream leads back to this process and is not used",
			slog.String("upstream", u.addr.String()))
	}
}

// newInstance returns an id that no other process has.
func newInstance() string { return strings.ToLower(rand.Text()) }

// probeName is the name that instance answers and nobody else.
func probeName(instance string) string { return instance + ".loop." + Canary + "." }

// askInstance returns the instance id that an upstream gives for name, "" if it
// has none. An error means that the upstream gave no answer.
func (p *pool) askInstance(ctx context.Context, u *upstream, name string) (instance string, err error) {
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	raw, err := m.Pack()
	if err != nil {
		return "", err
	}
	reply, err := p.probe(ctx, u, parseQuery(raw))
	if err != nil {
		return "", err
	}
	if m.Unpack(reply) == nil { // a broken answer is one, too, and not ours
		instance = instanceIn(m)
	}
	return instance, nil
}

// instanceIn returns the instance id in a reply, "" if it has none.
func instanceIn(m *dns.Msg) string {
	for _, rr := range m.Answer {
		txt, isTXT := rr.(*dns.TXT)
		if !isTXT {
			continue
		}
		for _, s := range txt.Txt {
			if id, found := strings.CutPrefix(s, instancePrefix); found {
				return id
			}
		}
	}
	return ""
}

// probe has one upstream answer q over UDP, within the time that one upstream has.
func (p *pool) probe(ctx context.Context, u *upstream, q *query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	s, err := p.takeSocket(ctx, u)
	if err != nil {
		return nil, err
	}
	results := make(chan result, 1)
	a := &attempt{u: u, q: q, results: results}
	defer s.forget(a)
	if err := s.ask(a); err != nil {
		return nil, err
	}
	select {
	case r := <-results:
		if r.err == nil && failed(r.reply) {
			r.err = errUnwell
		}
		return r.reply, r.err
	case <-ctx.Done():
		return nil, errSilent
	}
}
