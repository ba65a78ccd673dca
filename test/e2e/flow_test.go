package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSlowReaderStopsTheSender has a reader that takes nothing at first, at either
// end: its sender has to stop, for nothing on the way hoards data, and all arrives
// when the reader goes on.
func TestSlowReaderStopsTheSender(t *testing.T) {
	t.Parallel()
	needs(t)
	const (
		size     = 32 << 20
		most     = 8 << 20 // small socket buffers along the way, and a MiB in the relay
		endpoint = "flow.corp.example:30"
	)
	for _, direction := range []string{"Download", "Upload"} {
		t.Run(direction, func(t *testing.T) {
			w := newWorld(t)
			for _, ns := range []string{w.app, w.site} {
				// Some kernels let a socket hold 32 MiB.
				w.mustRun(t, ns, command{}, "sh", "-c", "cd /proc/sys/net/ipv4 && echo 4096 65536 262144 > tcp_rmem && echo 4096 65536 262144 > tcp_wmem")
			}
			relay := w.relay(t, contoso, "-personality", "halfclose", "flow-hc="+endpoint+"@127.0.0.2:10030")
			s := w.sidecar(t, w.settings(t, relay.connections, relay.caFile)...)
			var sender, reader *process
			if direction == "Download" {
				sender = w.role(t, w.site, "send", "listen", "127.0.0.2:10030", fmt.Sprint(size))
				sender.awaitText(t, "listening")
				reader = w.role(t, w.app, "take", "dial", endpoint)
			} else {
				reader = w.role(t, w.site, "take", "listen", "127.0.0.2:10030")
				reader.awaitText(t, "listening")
				sender = w.role(t, w.app, "send", "dial", endpoint, fmt.Sprint(size))
			}
			sent := stopped(t, sender)
			if sent > most {
				t.Errorf("%d MiB were sent to a reader that takes nothing, want %d at most", sent>>20, most>>20)
			}
			reader.tell(t, "go on")
			reader.mustEnd(t, 2*patience, fmt.Sprintf("took %d %s", size, patternSum(0, size)))
			sender.mustEnd(t, patience, fmt.Sprint("sent ", size))
			if got := s.awaitClosed(t, endpoint, 1); got.Cause != "closed" || got.Up+got.Down != size {
				t.Errorf("logged: %s", got.line)
			}
		})
	}
}

// stopped waits until a send role has sent nothing for two seconds and returns
// how much it had sent by then.
func stopped(t *testing.T, sender *process) (sent int) {
	t.Helper()
	sender.awaitText(t, "sent ")
	for {
		text, grown := sender.stdout.read()
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
