//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestSlowReaderStopsTheSender has a reader that takes nothing at first, at either
// end: its sender has to stop, for nothing on the way hoards data, and all arrives
// when the reader goes on.
func TestSlowReaderStopsTheSender(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	const (
		size     = 32 << 20
		most     = 8 << 20 // small socket buffers along the way, and a MiB in the relay
		endpoint = "flow.corp.example:30"
	)
	for _, direction := range []string{"Download", "Upload"} {
		t.Run(direction, func(t *testing.T) {
			w := world.New(t)
			for _, ns := range []string{w.App, w.Site} {
				// Some kernels let a socket hold 32 MiB.
				w.MustRun(t, ns, world.Command{}, "sh", "-c", "cd /proc/sys/net/ipv4 && echo 4096 65536 262144 > tcp_rmem && echo 4096 65536 262144 > tcp_wmem")
			}
			relay := w.Relay(t, world.Contoso, "-personality", "halfclose", "flow-hc="+endpoint+"@127.0.0.2:10030")
			s := w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)
			var sender, reader *world.Process
			if direction == "Download" {
				sender = w.Role(t, w.Site, "send", "listen", "127.0.0.2:10030", fmt.Sprint(size))
				sender.AwaitText(t, "listening")
				reader = w.Role(t, w.App, "take", "dial", endpoint)
			} else {
				reader = w.Role(t, w.Site, "take", "listen", "127.0.0.2:10030")
				reader.AwaitText(t, "listening")
				sender = w.Role(t, w.App, "send", "dial", endpoint, fmt.Sprint(size))
			}
			sent := stopped(t, sender)
			if sent > most {
				t.Errorf("%d MiB were sent to a reader that takes nothing, want %d at most", sent>>20, most>>20)
			}
			reader.Tell(t, "go on")
			reader.MustEnd(t, 2*world.Patience, fmt.Sprintf("took %d %s", size, role.PatternSum(0, size)))
			sender.MustEnd(t, world.Patience, fmt.Sprint("sent ", size))
			if got := s.AwaitClosed(t, endpoint, 1); got.Cause != "closed" || got.Up+got.Down != size {
				t.Errorf("logged: %s", got.Line)
			}
		})
	}
}

// stopped waits until a send role has sent nothing for two seconds and returns
// how much it had sent by then.
func stopped(t *testing.T, sender *world.Process) (sent int) {
	t.Helper()
	sender.AwaitText(t, "sent ")
	for {
		text, grown := sender.Stdout.Follow()
		select {
		case <-grown:
			continue
		case <-time.After(2 * time.Second):
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if _, err := fmt.Sscanf(lines[len(lines)-1], "sent %d", &sent); err != nil {
			t.Fatal(err)
		}
		return sent
	}
}
