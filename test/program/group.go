package program

import (
	"fmt"
	"sync"
	"syscall"
)

// Group is processes that end together. Its zero value is an empty one.
type Group struct {
	mu        sync.Mutex
	processes []*Process
	dead      bool // nothing is started any more
}

// Start starts c as a process of the group.
func (g *Group) Start(c Command) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return nil, fmt.Errorf("%s: not started, for the run is being ended", c.Path)
	}
	p, err := Start(c)
	if err == nil {
		g.processes = append(g.processes, p)
	}
	return p, err
}

// Kill ends every process at once, and so everything that waits for one. It
// returns when all have ended; nothing can be started any more.
func (g *Group) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead = true
	for _, p := range g.processes {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range g.processes {
		<-p.Ended()
	}
}
