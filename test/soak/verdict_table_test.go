package soak_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakelistener"
)

// all is a connection on which everything went well: the app sent 100 bytes, the
// target 200, and both saw the other's end.
func all() facts {
	return facts{
		personality: fakelistener.HalfClose, cutAt: -1, reached: true,
		app:    half{size: 100, sent: 100, ended: inOrder, first: true, got: 200, wrongAt: -1, saw: endOfStream},
		target: half{size: 200, sent: 200, ended: inOrder, got: 100, wrongAt: -1, saw: endOfStream},
		cause:  "closed", up: 100, down: 200,
	}
}

// cutShort is one whose app saw the tunnel break after 50 bytes, and the target
// as well.
func cutShort(f *facts) {
	f.app.got, f.app.saw, f.app.readErr = 50, breakage, syscall.ECONNRESET
	f.target.got, f.target.saw, f.target.readErr = 60, breakage, syscall.ECONNRESET
	f.cause, f.down = "tunnel_dropped", 50
}

func TestVerdict(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name string
		seen func(*facts)
		want string // in the verdict; empty = nothing is wrong
	}{
		{"Whole", func(f *facts) {}, ""},
		{"AppClosesWhenItHasAll", func(f *facts) { f.app.saw = nothing }, ""},
		{"WrongByte", func(f *facts) { f.app.wrongAt = 7 }, "to the app: byte 7"},
		{"WrongByteAtTheTarget", func(f *facts) { f.target.wrongAt = 7 }, "to the target: byte 7"},
		{"WrongByteWhileStarved", func(f *facts) { f.starved, f.app.wrongAt = true, 7 }, "byte 7"},
		{"MoreThanWasSent", func(f *facts) { f.app.got = 201 }, "201 bytes"},
		{"TruncatedDownload", func(f *facts) { f.app.got = 199 }, "ended after 199 bytes"},
		{"TruncatedUpload", func(f *facts) { f.target.got = 99 }, "ended after 99 bytes"},
		{"EndThatNobodyMade", func(f *facts) { f.target.ended = notEnded }, "it was ended not"},
		{"NeitherEndNorBytes", func(f *facts) { f.app.saw = silence }, "nothing more came"},
		{"NeverDialled", func(f *facts) { f.reached, f.app.saw, f.app.got = false, nothing, 0 }, "never dialled"},

		{"BreakWithoutReason", cutShort, "broke after 50 bytes"},
		{"WriteFailsWithoutReason", func(f *facts) { f.app.ended, f.app.writeErr = failing, syscall.EPIPE }, "a write failed"},
		{"BreakByAFault", func(f *facts) { cutShort(f); f.effect = breaking }, ""},
		{"BreakInAnOutage", func(f *facts) { cutShort(f); f.outage = true }, ""},
		{"BreakByAnUnseenFault", func(f *facts) { cutShort(f); f.effect = unseen }, "broke"},
		{"BreakWhileStarved", func(f *facts) { cutShort(f); f.starved = true }, ""},
		{"FaultThatLooksLikeTheEnd", func(f *facts) { f.effect, f.app.got = breaking, 50 }, "ended after 50 bytes"},
		{"FaultThatLooksLikeTheEndOfAnUpload", func(f *facts) { cutShort(f); f.effect, f.target.saw = breaking, endOfStream }, "to the target: the stream ended after 60 bytes"},
		{"CutBehindTheLastByteLooksLikeTheEnd", func(f *facts) { f.effect, f.cutAt = breaking, 200 }, "looked like the end"},
		{"EndBeforeTheCut", func(f *facts) { f.effect, f.cutAt = breaking, 201 }, ""},
		{"HCMTakesALossForAnEnd", func(f *facts) {
			cutShort(f)
			f.personality, f.effect, f.target.saw = fakelistener.HCM, breaking, endOfStream
		}, ""},
		{"HCMKeepsALossToItself", func(f *facts) {
			cutShort(f)
			f.personality, f.effect, f.target.saw = fakelistener.HCM, breaking, silence
		}, ""},
		{"HCMKeepsAnUploadToItself", func(f *facts) { f.personality, f.target.got, f.target.saw = fakelistener.HCM, 60, silence }, "nothing more came after 60 bytes"},

		{"AppResets", func(f *facts) { cutShort(f); f.app.ended, f.app.saw, f.cause = byReset, nothing, "app_reset" }, ""},
		{"ResetOfTheAppLooksLikeItsEnd", func(f *facts) {
			cutShort(f)
			f.app.ended, f.app.saw, f.target.saw, f.cause = byReset, nothing, endOfStream, "app_reset"
		}, "to the target: the stream ended after 60 bytes"},
		{"ResetOfTheAppLooksLikeItsEndWithAllBytes", func(f *facts) { f.app.ended, f.app.saw, f.cause = byReset, nothing, "app_reset" }, "it was ended by a reset"},
		{"TargetResets", func(f *facts) { cutShort(f); f.target.ended, f.target.saw = byReset, nothing }, ""},
		{"ResetOfTheTargetLooksLikeItsEnd", func(f *facts) { f.target.ended, f.app.got = byReset, 50 }, "to the app: the stream ended after 50 bytes"},
		{"HCMTakesAResetForAnEnd", func(f *facts) { f.personality, f.target.ended, f.app.got, f.down = fakelistener.HCM, byReset, 50, 50 }, ""},
		{"TargetClosesWithBytesUnread", func(f *facts) { cutShort(f); f.target.ended, f.target.saw = abruptly, nothing }, ""},
		{"NodeEndsBothWays", func(f *facts) { f.personality, f.app.got, f.down = fakelistener.NodeLike, 50, 50 }, ""},
		{"NodeEndsNothingByItself", func(f *facts) { f.personality, f.app.got, f.app.first = fakelistener.NodeLike, 50, false }, "ended after 50 bytes"},

		{"GoneAppAndSlowTarget", func(f *facts) {
			f.app.saw, f.app.closedAt, f.target.heardAt = nothing, now, now.Add(3*time.Second)
			f.target.got, f.target.saw, f.cause = 60, breakage, "app_gone"
		}, ""},
		{"GoneAppWhoseBytesAreUnderWay", func(f *facts) {
			f.app.begunAt, f.app.closedAt, f.target.heardAt = now, now, now.Add(3*time.Second)
			f.app.sent, f.app.saw, f.up = 1<<20, nothing, 1<<20
			f.target.got, f.target.saw, f.cause = 60, breakage, "app_gone"
		}, "to the target: the connection broke"},
		{"GoneAppCutOffTooSoon", func(f *facts) {
			f.app.saw, f.app.closedAt, f.target.heardAt = nothing, now, now.Add(time.Second)
			f.target.got, f.target.saw, f.cause = 60, breakage, "app_gone"
		}, "to the target: the connection broke"},

		{"RefusedTargetIsAReset", unreached, ""},
		{"RefusedTargetLooksLikeAnEmptyAnswer", func(f *facts) { unreached(f); f.app.ended, f.app.saw = notEnded, endOfStream }, "ended after 0 bytes"},
		{"RefusedTargetAfterTheAppEnded", func(f *facts) { unreached(f); f.app.saw, f.cause = endOfStream, "closed" }, ""},
		{"EmptyAnswerByNodeIsTakenForARefusal", func(f *facts) {
			f.personality, f.target.size, f.target.sent, f.down = fakelistener.NodeLike, 0, 0, 0
			f.app.got, f.app.saw, f.cause = 0, breakage, "target_unreachable_suspected"
		}, ""},
		{"EmptyAnswerByHalfCloseIsNot", func(f *facts) {
			f.target.size, f.target.sent = 0, 0
			f.app.got, f.app.saw, f.cause = 0, breakage, "target_unreachable_suspected"
		}, "broke after 0 bytes"},

		{"RetriedDialThatFails", func(f *facts) { undialled(f); f.effect = retried }, "broke after 0 bytes"},
		{"RetriedDialOfAnAppThatGaveUp", func(f *facts) { undialled(f); f.effect, f.app.sent, f.cause = retried, 0, "app_gave_up" }, ""},
		{"FailedDialIsAReset", func(f *facts) { undialled(f); f.effect = breaking }, ""},
		{"FailedDialLooksLikeAnEmptyAnswer", func(f *facts) { undialled(f); f.effect, f.app.saw = breaking, endOfStream }, "ended after 0 bytes"},

		{"LogMissesBytes", func(f *facts) { f.up = 99 }, "logged with 99 bytes up"},
		{"LogInventsBytes", func(f *facts) { f.down = 201 }, "201 down"},
		{"LogHasNoCause", func(f *facts) { f.cause = "" }, "nothing here leads to that"},
		{"BytesOfAFailedDial", func(f *facts) { f.cause = "dial_failed" }, "logged as dial_failed"},
		{"BytesOfATargetThatWasNotReached", func(f *facts) {
			cutShort(f)
			f.effect, f.app.ended, f.app.got, f.cause = breaking, byReset, 0, "target_unreachable_suspected"
		}, "100 bytes up and 50 down"},
		{"BreakIsLoggedAsClosed", func(f *facts) { cutShort(f); f.effect, f.cause = breaking, "closed" }, "saw it break"},
		{"LostUploadIsLoggedAsGone", func(f *facts) {
			cutShort(f)
			f.effect, f.app.saw, f.app.closedAt, f.target.heardAt, f.cause = breaking, nothing, now, now, "app_gone"
		}, "the tunnel broke"},
		{"FailedDialWithoutReason", func(f *facts) { undialled(f); f.app.ended, f.app.saw = byReset, nothing }, "nothing kept"},
		{"ResetOfTheAppIsLoggedAsClosed", func(f *facts) { cutShort(f); f.app.ended, f.app.saw, f.cause = byReset, nothing, "closed" }, "logged as closed"},
		{"WholeIsLoggedAsDropped", func(f *facts) { f.cause = "tunnel_dropped" }, "nothing broke it"},
		{"WholeIsLoggedAsReset", func(f *facts) { f.cause = "app_reset" }, "ended in order"},
		{"WholeIsLoggedAsRemoteClosed", func(f *facts) { f.cause = "remote_closed" }, "got all"},
		{"WholeIsLoggedAsGone", func(f *facts) { f.cause = "app_gone" }, "the app was there"},
		{"GivenUpByNobody", func(f *facts) { undialled(f); f.effect, f.app.ended, f.cause = breaking, notEnded, "app_gave_up" }, "had not left"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := all()
			test.seen(&f)
			err := f.verdict()
			switch {
			case err == nil && test.want != "":
				t.Errorf("nothing wrong, want %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%q, want %q", err, test.want)
			}
		})
	}
}

// undialled is what an app sees that no target is reached for.
func undialled(f *facts) {
	f.reached = false
	f.target = half{size: f.target.size, ended: notEnded, wrongAt: -1, saw: nothing}
	f.app.got, f.app.saw, f.app.readErr = 0, breakage, syscall.ECONNRESET
	f.cause, f.up, f.down = "dial_failed", 0, 0
}

// unreached is what an app sees when the listener finds no target.
func unreached(f *facts) {
	undialled(f)
	f.refused, f.cause, f.up = true, "target_unreachable_suspected", 100
}
