//go:build linux

package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// pause is two connections on which the app does nothing for longer than it
// takes the sidecar, with HYCO_KEEPALIVE=1s, to find a relay dead.
type pause struct {
	idle    *world.Client // nobody has anything to say
	reading *world.Client // the server sends, and the app does not read
	over    <-chan time.Time
}

// downloaded is what the app takes at once, of a stream that never ends.
const downloaded = 1 << 20

func beginPause(t *testing.T, w *world.World) pause {
	t.Helper()
	p := pause{
		idle:    w.Client(t, "echo.corp.example:7"),
		reading: w.Client(t, "stream.corp.example:19"),
		// A second of silence, 10 s for the answer to a ping, and a margin.
		over: time.After(15 * time.Second),
	}
	p.idle.MustDo(t, "write before", "ok")
	p.idle.MustDo(t, "line", "before")
	p.reading.MustDo(t, fmt.Sprint("read ", downloaded), fmt.Sprintf("read %d %s", downloaded, role.PatternSum(0, downloaded)))
	return p
}

// end shows that both connections are as good as before.
func (p pause) end(t *testing.T) {
	<-p.over
	p.idle.MustDo(t, "write after", "ok")
	p.idle.MustDo(t, "line", "after")

	// More than all buffers on the way can hold.
	const size = 32 << 20
	rest, hash := role.Pattern(0), sha256.New()
	_, _ = io.CopyN(io.Discard, rest, downloaded)
	_, _ = io.CopyN(hash, rest, size)
	p.reading.MustDo(t, fmt.Sprint("read ", size), fmt.Sprintf("read %d %x", size, hash.Sum(nil)))
	p.idle.MustDo(t, "close", "ok")
	p.reading.MustDo(t, "reset", "ok")
}
