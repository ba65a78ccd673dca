package forwarder

import "sync/atomic"

// Traffic counts the bytes of a Listener's connections while they move. It may
// be read at any time, and given to several listeners.
type Traffic struct {
	Up   atomic.Int64 // bytes that the remote side has taken from apps
	Down atomic.Int64 // bytes that apps have taken from the remote side
}

func (t *Traffic) addUp(n int) {
	if t != nil {
		t.Up.Add(int64(n))
	}
}

func (t *Traffic) addDown(n int) {
	if t != nil {
		t.Down.Add(int64(n))
	}
}
