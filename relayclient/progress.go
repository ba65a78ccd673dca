package relayclient

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// progress is how far an attempt has come, and when. It is atomic, since a trace of look-ups
// may go on when the attempt is over.
type progress struct {
	began                        time.Time
	stage                        atomic.Value // Stage
	resolved, connected, secured atomic.Int64 // nanoseconds after began; 0 = not reached
}

func newProgress() *progress {
	p := &progress{began: time.Now()}
	p.stage.Store(StageConnect)
	return p
}

func (p *progress) current() Stage { return p.stage.Load().(Stage) }

func (p *progress) now() int64 { return int64(time.Since(p.began)) }

// traceNames returns ctx so that p notes when look-ups made with it begin and end.
func (p *progress) traceNames(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { p.stage.Store(StageResolve) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				p.stage.Store(StageConnect)
				p.resolved.Store(p.now())
			}
		},
	})
}
