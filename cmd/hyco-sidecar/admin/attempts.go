package admin

import (
	"sync"

	"hyco-sidecar/relayclient"
)

// attempt is one kind of attempt to join a hybrid connection.
type attempt struct {
	namespace string
	warm      bool
	result    string // ok, or the reason of the failure
}

// attempts counts them.
type attempts struct {
	mu     sync.Mutex
	counts map[attempt]int64
}

// Relay returns the hooks that tell m of attempts to reach a namespace.
func (m *Monitor) Relay(namespace string) relayclient.Hooks {
	return relayclient.Hooks{Attempted: func(a relayclient.Attempt) {
		result := "ok"
		if a.Err != nil {
			result = reason(a.Err)
		}
		if a.ClockOffset != 0 {
			m.ClockOffset(namespace, a.ClockOffset)
		}
		m.attempts.mu.Lock()
		defer m.attempts.mu.Unlock()
		m.attempts.counts[attempt{namespace, a.Warm, result}]++
	}}
}
