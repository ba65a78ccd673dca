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

	"hyco-sidecar/relayclient"
)

// checkTarget lets the target speak, then speaks to it.
func (w *walk) checkTarget(ctx context.Context, s *stream) {
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
	switch probe {
	case Banner:
		patience = w.answerWait()
	case quiet: // a refused connection shows within 2 s on Windows
		patience = fairTime
	}
	came := s.await(ctx, patience)
	var answer answer
	asked := came == silence && probe != Banner && probe != quiet && ctx.Err() == nil
	if asked {
		answer = w.ask(ctx, s, probe)
		came = answer.came
	}
	unsettled := (came == silence || came == stalled) && answer.saw == ""
	switch {
	case unsettled && (ctx.Err() == context.Canceled || ctx.Err() != nil && time.Since(s.opened) < fairTime && came != stalled):
		w.reportCutShort(ctx, Target, time.Since(began))
	case string(s.rest) == azbridgeRefusal:
		fail(ListenerMismatch, "the answer is that of azbridge, which expects the name of a port first",
			"set HYCO_CONNECTION_N_LISTENER=azbridge, and HYCO_CONNECTION_N_PORT_NAME to the name in its -T option")
	case answer.err != nil && w.TLS:
		fail(TargetTLSFailed, answer.err.Error(),
			"check the target's certificate and TLS settings; what the app trusts may differ from what is trusted here", answer.notes...)
	case answer.saw != "":
		w.pass(Target, time.Since(began), answer.saw, answer.notes...)
	case came == bytesCame && w.TLS:
		fail(TargetTLSFailed, "it speaks first, which no TLS server does: "+quoteFirstLine(s.rest), "check without --tls")
	case came == bytesCame:
		w.pass(Target, time.Since(began), "says "+quoteFirstLine(s.rest))
	case came == ended:
		var notes []string
		if asked {
			again, saw := w.askNothing(ctx, time.Since(s.opened))
			switch {
			case again == bytesCame:
				w.pass(Target, time.Since(began), "says "+saw)
				return
			case again == silence:
				fail(TargetSilent, "reached, and hung up at "+probe.sends()+": --probe names other questions", w.otherQuestion())
				return
			case again == unclear:
				notes = []string{"or the target was reached and hung up at " + probe.sends() + ": --probe names other questions"}
			}
		}
		next := fmt.Sprintf("on the Hybrid Connection Manager's machine, try whether it reaches %s (Test-NetConnection %s -Port %s)",
			w.e.Name, w.e.Host, w.port())
		fail(TargetUnreachable, w.describeEnd(s), next, notes...)
	case came == stalled:
		fail(TargetSilent, "it began to answer the TLS handshake, then stalled",
			"see what the target's log says; a packet size that does not fit on the way shows like this as well")
	case probe == quiet:
		saw := fmt.Sprintf("open for %s, without a byte; nothing was sent, for servers of port %s do not answer what the check can ask",
			round(time.Since(s.opened)), w.port())
		fail(TargetSilent, saw, "let the app's own client try, or say with --probe or --tls what the target speaks")
	default:
		saw := fmt.Sprintf("open for %s, without a byte", round(time.Since(s.opened)))
		if probe != Banner {
			saw += " in answer to " + probe.sends()
		}
		fail(TargetSilent, saw, w.otherQuestion())
	}
}

// azbridgeRefusal is what azbridge says to a version that it does not know, such as
// a question of ours (docs/relay-protocol.md §7.1).
const azbridgeRefusal = "\x00\x00\x00"

func (w *walk) otherQuestion() string {
	return "say with --probe or --tls what the target speaks; if that changes nothing, see whether the Hybrid Connection Manager's machine reaches " + w.e.Name
}

// atOnceHungUp bounds how long after it was opened a tunnel ends because of what
// was sent. A Windows that gives a target up after 21 s is not waited for twice.
const atOnceHungUp = 5 * time.Second

// askNothing connects once more where a tunnel ended after a question, and
// sends nothing. One that then stays open for a second longer than the first, and
// so is silent, has reached its target; that of a Hybrid Connection Manager that
// does not reach it ends again. What a target says all the same is returned.
func (w *walk) askNothing(ctx context.Context, first time.Duration) (event, string) {
	if first > atOnceHungUp {
		return unclear, ""
	}
	conn, _, err := w.Dial(ctx, w.e, relayclient.NewID())
	if err != nil {
		return unclear, ""
	}
	s := newStream(conn, w.Guard)
	defer s.close()
	came := s.await(ctx, first+time.Second)
	switch {
	case came == bytesCame:
		return came, quoteFirstLine(s.rest)
	case came == silence && ctx.Err() != nil:
		return unclear, ""
	}
	return came, ""
}

// describeEnd describes a tunnel that ended without a byte.
func (w *walk) describeEnd(s *stream) string {
	how := "closed"
	if !errors.Is(s.err, io.EOF) {
		how = "broken off (" + strings.TrimPrefix(s.err.Error(), "relayclient: ") + ")"
	}
	return fmt.Sprintf("accepted, then %s after %s without a byte: the Hybrid Connection Manager probably cannot reach %s",
		how, round(time.Since(s.opened)), w.e.Name)
}

func (w *walk) port() string { return strconv.Itoa(int(w.e.Address.Port())) }

// hostHeader is host:port as HTTP has it, where 80 is left out.
func (w *walk) hostHeader() string {
	if w.e.Address.Port() == 80 {
		return w.e.Host
	}
	return net.JoinHostPort(w.e.Host, w.port())
}

// quoteFirstLine is the first line of what a target says, fit for a terminal.
func quoteFirstLine(data []byte) string {
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
