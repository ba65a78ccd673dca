package admin

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// endpoint keeps the facts about one host:port.
type endpoint struct {
	traffic  forwarder.Traffic
	accepted atomic.Int64
	open     atomic.Int64

	mu          sync.Mutex
	about       Endpoint // what the settings say
	credentials presented
	ended       map[forwarder.Cause]int64
	refused     map[string]int64 // dials that failed, by reason
	joined      time.Time        // when a listener last took a connection
	joinTook    time.Duration
	failed      int64
	failure     *Failure
	failing     bool
	// A listener that reaches no target takes connections as well. Once one is
	// suspected of that, a join proves nothing until a byte has come after it.
	suspected, retried bool
	listeners          int
	counted            time.Time // when the relay said how many listeners there are
	downThen           int64     // what had come by the join after the suspicion
}

func newEndpoint() *endpoint {
	return &endpoint{ended: make(map[forwarder.Cause]int64), refused: make(map[string]int64)}
}

// Traffic returns where the bytes of an endpoint are to be counted.
func (m *Monitor) Traffic(name string) *forwarder.Traffic { return &m.endpoint(name).traffic }

// Connections returns the hooks that tell m of connections.
func (m *Monitor) Connections() forwarder.Hooks {
	return forwarder.Hooks{
		Accepted: func(target string) {
			m.open.Add(1)
			e := m.endpoint(target)
			e.accepted.Add(1)
			e.open.Add(1)
		},
		Dialled: func(target string, took time.Duration, err error) {
			if err == nil {
				m.dialSeconds.WithLabelValues(target).Observe(took.Seconds())
				m.endpoint(target).noteJoined(took)
			}
		},
		Closed: func(s forwarder.Summary) {
			m.connectionSeconds.WithLabelValues(s.Target).Observe(s.Took.Seconds())
			e := m.endpoint(s.Target)
			e.noteEnd(s)
			e.open.Add(-1)
			m.open.Add(-1)
		},
	}
}

// noteJoined notes that a listener has taken a connection.
func (e *endpoint) noteJoined(took time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joined, e.joinTook = time.Now(), took
	switch {
	case !e.suspected:
		e.failing = false
	case !e.retried:
		e.retried, e.downThen = true, e.traffic.Down.Load()
	}
}

// noteEnd notes how a connection ended.
func (e *endpoint) noteEnd(s forwarder.Summary) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended[s.Cause]++
	f := &Failure{At: time.Now(), ID: s.ID, Reason: string(s.Cause)}
	switch s.Cause {
	case forwarder.DialFailed, forwarder.AppGaveUp:
		if s.Err == nil {
			return // the app left, and nothing was wrong until then
		}
		f.Reason = reason(s.Err)
		e.refused[f.Reason]++
		e.failing = true
	case forwarder.TargetUnreachable, forwarder.ClosedWithoutData:
		e.suspected, e.retried = true, false
		e.failing = true
	case forwarder.TunnelDropped:
		// One of many, perhaps: the next dial shows whether it was more than that.
	case forwarder.Closed, forwarder.RemoteClosed, forwarder.AppGone:
		if s.Up > 0 || s.Down > 0 {
			e.suspected, e.failing = false, false
		}
		return
	default:
		return // what the app did, or somebody's settings
	}
	if s.Err != nil {
		f.Error = s.Err.Error()
	}
	if dial, ok := errors.AsType[*relayclient.DialError](s.Err); ok {
		f.Status, f.TrackingID = dial.Status, dial.TrackingID
	}
	f.Next = cmp.Or(advice.Next(s.Err), advice.NextFor(f.Reason))
	f.See = advice.See(f.Reason)
	e.failure = f
	e.failed++
}

// reason is the label of a failed dial.
func reason(err error) string {
	if dial, ok := errors.AsType[*relayclient.DialError](err); ok {
		return dial.Reason()
	}
	return "other"
}

// listenersKept is how long a number of listeners is believed that is not
// confirmed. It is asked for every minute.
const listenersKept = 3 * time.Minute

// Listeners notes how many an endpoint's hybrid connection has.
func (m *Monitor) Listeners(endpoint string, n int) {
	e := m.endpoint(endpoint)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners, e.counted = n, time.Now()
}

// listenersLocked is the number of listeners, nil while it is not known.
func (e *endpoint) listenersLocked() *int {
	if time.Since(e.counted) > listenersKept {
		return nil
	}
	return new(e.listeners)
}

// healthLocked reports how the last connection fared.
func (e *endpoint) healthLocked() Health {
	if e.suspected && e.retried && e.traffic.Down.Load() > e.downThen {
		e.suspected, e.failing = false, false
	}
	switch {
	case e.failing:
		return Failing
	case e.joined.IsZero():
		return Unused
	}
	return Healthy
}

func (e *endpoint) status() Endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.about
	s.Open, s.Total = e.open.Load(), e.accepted.Load()
	s.Up, s.Down = e.traffic.Up.Load(), e.traffic.Down.Load()
	s.Health, s.Failed = e.healthLocked(), e.failed
	s.Credential, s.Listeners = e.credentials.String(), e.listenersLocked()
	if !e.joined.IsZero() {
		s.LastJoined, s.JoinSeconds = new(e.joined), e.joinTook.Seconds()
	}
	if e.failure != nil {
		s.LastFailure = new(*e.failure)
	}
	return s
}
