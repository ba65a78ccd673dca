//go:build linux

package world

import (
	"testing"
	"time"

	"hyco-sidecar/test/program"
)

// Patience bounds every wait for something that ought to come at once. It is long
// because the machine may be busy, and costs nothing when all is well.
const Patience = 30 * time.Second

// Eventually asks holds until it says yes, for conditions that nobody announces. The
// test fails when it takes longer than within; what is the condition in words.
func Eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// Tail is the end of text, at a length that keeps a failure's output readable.
func Tail(text string) string { return program.Tail(text, 4000) }
