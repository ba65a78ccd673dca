package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/relayclient"
)

// joinRelay goes from the relay's name to the listener, and returns the tunnel, or
// nil.
func (w *walk) joinRelay(ctx context.Context) net.Conn {
	began := w.begin(Listener)
	conn, attempt, err := w.Dial(ctx, w.e, w.ID)
	if unanswered(err) && ctx.Err() == nil {
		began = time.Now()
		conn, attempt, err = w.Dial(ctx, w.e, w.ID)
	}
	took := time.Since(began)
	if err == nil {
		w.reportPassed(attempt, "", Healthy, true)
		return conn
	}
	e, ok := errors.AsType[*relayclient.DialError](err)
	if !ok {
		e = &relayclient.DialError{Entity: w.Entity, Host: w.Namespace, Stage: relayclient.StageUpgrade, Err: err}
	}
	w.reportRefusal(ctx, e, attempt, took)
	return nil
}

// unanswered tells an attempt that the relay took and left without an answer.
func unanswered(err error) bool {
	e, ok := errors.AsType[*relayclient.DialError](err)
	return ok && e.Stage == relayclient.StageUpgrade && e.Status == 0 && errors.Is(e.Err, relayclient.ErrAttemptTimeout)
}

// fairTime is how long the relay, or a target, has had to answer at least when its
// silence is held against it although the check's time was over.
const fairTime = 3 * time.Second

// reportRefusal reports how far a dial came that failed.
func (w *walk) reportRefusal(ctx context.Context, e *relayclient.DialError, attempt relayclient.Attempt, took time.Duration) {
	verdict := Verdict(advice.VerdictOf(e.Reason()))
	saw := strings.TrimPrefix(e.Err.Error(), "relayclient: ")
	if e.Status != 0 {
		phrase, _, _ := strings.Cut(e.Phrase, "TrackingId:") // which is shown apart
		saw = fmt.Sprintf("%d %s", e.Status, strings.TrimRight(phrase, ". "))
	}
	if e.Proxy != "" {
		saw += " (proxy " + e.Proxy + ")"
	}
	next, stage := advice.Next(e), verdict.stage()
	var notes []string
	switch {
	case e.Status == 0 && ctx.Err() != nil && (ctx.Err() == context.Canceled || took < fairTime):
		stage = stageOf(e.Stage)
		w.reportPassed(attempt, stage, Unfinished, false)
		w.reportCutShort(ctx, stage, took)
		return
	case stage == "": // a reason that is not known here
		stage = stageOf(e.Stage)
	case unanswered(e) && w.answersOthers(ctx):
		verdict = NotAccepted
		saw = "the relay answers other requests, and holds this one back for a listener that does not come"
		notes = append(notes, "or something on the way holds WebSocket upgrades back: see whether another hybrid connection works from here")
	}
	w.reportPassed(attempt, stage, verdict, e.Status != 0 || e.Stage == relayclient.StageOpening)
	took -= attempt.Resolve + attempt.Connect + attempt.TLS
	if e.ClockOffset.Abs() > relayclient.ClockTolerance && verdict != ClockWrong && verdict.stage() == Token {
		notes = append(notes, "this machine's clock is "+relayclient.DescribeOffset(e.ClockOffset))
	}
	w.fail(stage, took, verdict, saw, next, notes...).TrackingID = clean(e.TrackingID)
}

// answersOthers tells a relay that waits for a listener from one that is silent.
func (w *walk) answersOthers(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	_, err := w.Clock(ctx, w.e)
	return err == nil
}

// reportPassed reports the stages before failed, the first one of verdict, or all when
// failed is empty. answered says that the relay answered the request, which
// carries the token.
func (w *walk) reportPassed(a relayclient.Attempt, failed Stage, verdict Verdict, answered bool) {
	proxy := w.e.Proxy
	for _, s := range []Stage{RelayName, RelayPort, RelayTLS, Token, Listener} {
		switch {
		case s == failed:
			return
		case verdict == TokenFailed:
			w.skip(s, "there is no token to present")
		case s == RelayName && proxy != "":
			w.skip(s, "the proxy looks it up")
		case s == RelayName:
			w.pass(s, a.Resolve, w.Namespace)
		case s == RelayPort && proxy != "":
			w.pass(s, a.Connect, "through the proxy "+proxy)
		case s == RelayPort:
			w.pass(s, a.Connect, "connected")
		case s == RelayTLS:
			w.pass(s, a.TLS, "the certificate is trusted")
		case s == Token && !answered:
			w.skip(s, "the relay has not said")
		case s == Token && (verdict == RelayUnavailable || verdict == NotARelay):
			w.skip(s, "the relay did not come to it")
		case s == Token && w.Credential == NoCredential:
			w.pass(s, 0, "none needed")
		case s == Token && a.Credential > 0:
			w.pass(s, 0, "the secondary credential is accepted; the first was refused")
		case s == Token:
			w.pass(s, 0, "accepted")
		case s == Listener:
			w.pass(s, a.Upgrade, "took the connection")
		}
	}
}

// stageOf is where a dial stopped, in our terms.
func stageOf(s relayclient.Stage) Stage {
	switch s {
	case relayclient.StageResolve:
		return RelayName
	case relayclient.StageConnect, relayclient.StageProxy:
		return RelayPort
	case relayclient.StageTLS:
		return RelayTLS
	case relayclient.StageToken:
		return Token
	}
	return Listener
}
