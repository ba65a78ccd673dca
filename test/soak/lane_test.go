package soak_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"

	"hyco-sidecar/test/fakelistener"
)

// lane is a hybrid connection, which carries one connection at a time: an id that
// the relay meets for the first time is that of the current one.
type lane struct {
	entity      string
	personality fakelistener.Personality
	targets     *net.TCPListener

	dialling sync.Mutex // held from a dial of the target to its accept

	mu      sync.Mutex
	current *connection
	ids     map[string]*connection // the current one, by what the relay has met of it
	outages int                    // so far
	away    bool                   // one goes on

	stop func() // ends the listener and waits for it
}

// noteMet notes that the relay has met id, and returns the current connection.
func (l *lane) noteMet(id string) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		l.ids[id] = l.current
	}
	return l.current
}

func (l *lane) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outages++
	l.away = true
}

func (l *lane) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = false
}

// enter makes c the current connection; leave ends that, and tells whether there
// was an outage meanwhile.
func (l *lane) enter(c *connection) (leave func() (outage bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.ids = c, make(map[string]*connection)
	before, away := l.outages, l.away
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.current, l.ids = nil, nil
		return away || l.outages != before
	}
}

// dial is what the listener reaches the target with. It may come late, for a
// connection that has ended.
func (l *lane) dial(ctx context.Context) (net.Conn, error) {
	id, _, _ := strings.Cut(fakelistener.ID(ctx), "_")
	l.mu.Lock()
	c := l.ids[id]
	l.mu.Unlock()
	if c == nil || c.plan.refuse {
		return nil, syscall.ECONNREFUSED
	}
	var d net.Dialer
	l.dialling.Lock()
	defer l.dialling.Unlock()
	listeners, err := d.DialContext(ctx, "tcp4", l.targets.Addr().String())
	if err != nil {
		return nil, err
	}
	targets, err := l.accept(listeners.LocalAddr().String())
	if err != nil {
		listeners.Close()
		return nil, err
	}
	c.beginTarget(targets)
	return listeners, nil
}

// accept returns the connection that comes from remote. Others were given up
// before they were whole.
func (l *lane) accept(remote string) (*net.TCPConn, error) {
	for {
		conn, err := l.targets.AcceptTCP()
		if err != nil || conn.RemoteAddr().String() == remote {
			return conn, err
		}
		conn.Close()
	}
}
