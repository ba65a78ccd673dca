package soak_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// connection is one connection from an app to its target, from top to bottom.
type connection struct {
	plan    plan
	seed    uint64
	starved int // tcpStarvation when it began

	working sync.WaitGroup // targets

	mu      sync.Mutex
	sealed  bool           // no target is taken any more
	met     map[string]int // attempts to connect that the relay has met, by id
	targets []*side
}

// patience bounds every wait for something that has to come. It is long because
// machines may be busy, and costs nothing when all is well.
const patience = 90 * time.Second

// outcome is a connection that has ended.
type outcome struct {
	plan  plan
	facts facts
	line  entry // of the sidecar's log
	bytes int64 // checked
}

// run makes the connection through the ith lane of s and returns what became of it.
func (c *connection) run(s *sidecar, i int) (outcome, error) {
	leave := s.lanes[i].enter(c)
	app := c.runApp(s.addresses[i])

	var line entry
	var lost error
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case line = <-s.journal.lines[s.names[i]]:
	case <-s.Ended():
		lost = fmt.Errorf("the sidecar has ended with exit code %d", s.ExitCode())
	case <-timeout.C:
		lost = fmt.Errorf("the sidecar has not logged the end of the connection within %v", patience)
	}
	targets := c.endTargets(app)
	outage := leave()
	if lost != nil {
		return outcome{plan: c.plan, facts: facts{app: app}}, lost
	}
	return c.judge(app, targets, outage, line)
}

// runApp is the app from its dial to its end.
func (c *connection) runApp(address string) half {
	p := &c.plan
	conn, err := net.DialTimeout("tcp4", address, patience)
	if err != nil {
		// It may be reset before connect has returned.
		return half{size: p.app.size, ended: notEnded, wrongAt: -1, saw: breakage, readErr: err}
	}
	x := newSide(conn.(*net.TCPConn), p.app, p.target.size, c.content(toTarget), c.content(toApp), c.random(toTarget))
	watchdog := time.AfterFunc(patience, x.giveUp)
	defer watchdog.Stop()
	return x.work()
}

// beginTarget begins the target's part at its end of a connection.
func (c *connection) beginTarget(conn *net.TCPConn) {
	p := &c.plan
	x := newSide(conn, p.target, p.app.size, c.content(toApp), c.content(toTarget), c.random(toApp))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		conn.Close()
		return
	}
	c.targets = append(c.targets, x)
	c.working.Go(func() { x.work() })
}

// endTargets waits for the targets, of which some may have been dialled in vain,
// for attempts that came to nothing, and returns what they saw.
func (c *connection) endTargets(app half) []half {
	c.mu.Lock()
	c.sealed = true
	targets := c.targets
	c.mu.Unlock()
	wait := 20 * time.Second
	if c.plan.personality == fakelistener.HCM && (app.ended != inOrder || app.saw == breakage || c.plan.fault.effect == breaking) {
		wait = 2 * time.Second // HCM will tell them nothing
	}
	watchdog := time.AfterFunc(wait, func() {
		for _, x := range targets {
			x.giveUp()
		}
	})
	c.working.Wait()
	watchdog.Stop()
	var halves []half
	for _, x := range targets {
		halves = append(halves, x.half)
	}
	return halves
}

// attempt is asked for the fault of an attempt to connect.
func (c *connection) attempt(id string) fakerelay.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.met == nil {
		c.met = make(map[string]int)
	}
	c.met[id]++
	f := &c.plan.fault
	if f.attempts > 0 && c.met[id] > f.attempts {
		return fakerelay.Fault{}
	}
	return f.Fault
}

func (c *connection) content(direction byte) io.Reader {
	return content(c.seed, c.plan.number, direction)
}

func (c *connection) random(direction byte) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed^uint64(direction), uint64(c.plan.number)))
}

// judge makes facts of all that was seen, and the verdict.
func (c *connection) judge(app half, targets []half, outage bool, line entry) (outcome, error) {
	p := &c.plan
	f := facts{
		personality: p.personality, effect: p.fault.effect, cutAt: -1,
		outage: outage, refused: p.refuse, starved: tcpStarvation() != c.starved,
		app: app, target: half{size: p.target.size, ended: notEnded, saw: nothing, wrongAt: -1},
		cause: line.Cause, up: line.Up, down: line.Down,
	}
	if p.fault.attempts == 0 {
		f.cutAt = p.fault.cutAt()
	}
	c.mu.Lock()
	met := c.met[line.ID]
	c.mu.Unlock()
	o := outcome{plan: *p, facts: f, line: line, bytes: app.got}
	for _, t := range targets {
		o.bytes += t.got
	}
	// The relay may also have met an attempt of the lane's last connection, which
	// the sidecar had given up before the relay looked at it.
	if met == 0 && len(targets) > 0 {
		return o, fmt.Errorf("the relay has not met the id that is in the log")
	}
	if len(targets) == 0 {
		return o, f.verdict()
	}
	// All but one were dialled for attempts that the sidecar had given up, and got
	// nothing. Which one is real shows in the bytes, or does not matter.
	f.reached = true
	var err error
	for i, t := range targets {
		f.target = t
		o.facts = f
		if err = f.verdict(); err == nil {
			err = untouched(slices.Delete(slices.Clone(targets), i, i+1))
		}
		if err == nil {
			break
		}
	}
	return o, err
}

// untouched returns an error if one of the targets got a byte.
func untouched(targets []half) error {
	for _, t := range targets {
		if t.got > 0 {
			return fmt.Errorf("a target for an attempt that was given up got %d bytes, the wrong one at %d", t.got, t.wrongAt)
		}
	}
	return nil
}

// String is all that helps to understand a connection that went wrong.
func (o outcome) String() string {
	var b strings.Builder
	p, f := &o.plan, &o.facts
	fmt.Fprintf(&b, "connection %d, listener %s, fault %q %+v, outage %t, starved %t, refused %t",
		p.number, p.personality, p.fault.kind, p.fault.Fault, f.outage, f.starved, p.refuse)
	for _, x := range []struct {
		who    string
		script script
		half   half
	}{{"app", p.app, f.app}, {"target", p.target, f.target}} {
		h := x.half
		fmt.Fprintf(&b, "\n  %s: plan %+v\n    sent %d, ended %s; got %d, saw %s; write error %v, read error %v",
			x.who, x.script, h.sent, h.ended, h.got, h.saw, h.writeErr, h.readErr)
		if !h.closedAt.IsZero() {
			fmt.Fprintf(&b, "; closed at %s", h.closedAt.Format(clock))
		}
		if !h.heardAt.IsZero() {
			fmt.Fprintf(&b, "; heard last at %s", h.heardAt.Format(clock))
		}
	}
	fmt.Fprintf(&b, "\n  log: %s", o.line.text)
	return b.String()
}

const clock = "15:04:05.000"
