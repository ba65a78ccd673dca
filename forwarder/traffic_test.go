package forwarder_test

import (
	"io"
	"testing"
	"testing/synctest"

	"hyco-sidecar/test/memnet"
)

func TestTrafficIsCountedWhileItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		wantTraffic := func(up, down int64) {
			t.Helper()
			synctest.Wait()
			if gotUp, gotDown := b.traffic.Up.Load(), b.traffic.Down.Load(); gotUp != up || gotDown != down {
				t.Errorf("traffic: got up %d down %d, want %d and %d", gotUp, gotDown, up, down)
			}
		}
		take := func(conn *memnet.Conn, n int) {
			t.Helper()
			if _, err := io.CopyN(io.Discard, conn, int64(n)); err != nil {
				t.Fatal(err)
			}
		}

		app, target := b.open(t)
		other, otherTarget := b.open(t)
		wantTraffic(0, 0)
		write(t, app, "question")
		take(target, 8)
		wantTraffic(8, 0)
		write(t, otherTarget, "greeting")
		take(other, 8)
		wantTraffic(8, 8)
		write(t, target, "answer")
		take(app, 6)
		wantTraffic(8, 14)

		_ = app.SetLinger(0)
		app.Close()
		<-b.summaries
		otherTarget.CloseWrite()
		wantAll(t, "the other app", other, "")
		other.CloseWrite()
		b.finish(t)
		wantTraffic(8, 14) // of connections that have ended, too
	})
}
