package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// target lets the target speak, then speaks to it.
func (w *walk) target(ctx context.Context, s *stream) {
	probe := w.probe()
	if probe == None {
		w.skip(Target, "not asked for")
		return
	}
	began := w.begin(Target)
	fail := func(v Verdict, saw, next string, notes ...string) {
		w.fail(Target, time.Since(began), v, saw, next, notes...)
	}
	patience := w.bannerWait()
	if probe == Banner {
		patience = w.answerWait()
	}
	came := s.await(ctx, patience)
	if came == silence && probe != Banner && ctx.Err() == nil {
		answer := w.ask(ctx, s, probe)
		switch {
		case answer.err != nil && w.TLS:
			fail(TargetTLSFailed, answer.err.Error(), "check the target's certificate and TLS settings; what the app trusts may differ from what is trusted here", answer.notes...)
			return
		case answer.saw != "":
			w.ok(Target, time.Since(began), answer.saw, answer.notes...)
			return
		}
		came = answer.came
	}
	switch {
	case came == silence && (ctx.Err() == context.Canceled || ctx.Err() != nil && time.Since(s.opened) < fairTime):
		w.cutShort(ctx, Target, time.Since(began))
	case came == bytesCame && w.TLS:
		fail(TargetTLSFailed, "it speaks first, which no TLS server does: "+shown(s.rest), "check without --tls")
	case came == bytesCame:
		w.ok(Target, time.Since(began), "says "+shown(s.rest))
	case came == ended:
		fail(TargetUnreachable, w.hungUp(s), fmt.Sprintf("on the Hybrid Connection Manager's machine, try whether it reaches %s (Test-NetConnection %s -Port %s)",
			w.e.Name, w.e.Host, w.port()), w.doubt(s, probe)...)
	default:
		saw := fmt.Sprintf("open for %s, without a byte in answer to %s", round(time.Since(s.opened)), probe.sends())
		fail(TargetSilent, saw, "say with --probe or --tls what the target speaks; if that changes nothing, see whether the Hybrid Connection Manager's machine reaches "+w.e.Name)
	}
}

// hungUp describes a tunnel that ended without a byte.
func (w *walk) hungUp(s *stream) string {
	how := "closed"
	if !errors.Is(s.err, io.EOF) {
		how = "broken off (" + strings.TrimPrefix(s.err.Error(), "relayclient: ") + ")"
	}
	return fmt.Sprintf("accepted, then %s after %s without a byte: the Hybrid Connection Manager probably cannot reach %s", how, round(time.Since(s.opened)), w.e.Name)
}

// doubt is added where the target may have hung up at what it was sent.
func (w *walk) doubt(s *stream, probe Probe) []string {
	if probe == Banner || time.Since(s.opened) < w.bannerWait() {
		return nil
	}
	return []string{"or the target was reached and hung up at " + probe.sends() + ": --probe names other questions"}
}

func (w *walk) port() string { return strconv.Itoa(int(w.e.Address.Port())) }

// hostHeader is host:port as HTTP has it, where 80 is left out.
func (w *walk) hostHeader() string {
	if w.e.Address.Port() == 80 {
		return w.e.Host
	}
	return net.JoinHostPort(w.e.Host, w.port())
}

// shown is the first line of what a target says, fit for a terminal.
func shown(data []byte) string {
	const most = 80
	line, _, _ := strings.Cut(strings.TrimLeft(string(data), "\r\n"), "\n")
	cut := len(line) > most
	line = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, strings.TrimSpace(line[:min(len(line), most)])))
	if cut {
		line += "…"
	}
	return strconv.Quote(line)
}

// round is d as a person reads it.
func round(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
