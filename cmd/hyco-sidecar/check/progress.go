package check

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress shows on a terminal what is being waited for, on one line that is
// written over. The zero value with Out nil shows nothing.
type Progress struct {
	Out   io.Writer
	Guard func(f func()) func() // wraps what runs on each goroutine; nil leaves it as it is

	mu      sync.Mutex
	what    string
	since   time.Time
	shown   bool
	stop    chan struct{}
	ticking sync.WaitGroup
}

// Start shows the line, four times a second, until Stop.
func (p *Progress) Start() {
	if p.Out == nil {
		return
	}
	p.stop = make(chan struct{})
	p.ticking.Go(guarded(p.Guard, func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.draw()
			case <-p.stop:
				return
			}
		}
	}))
}

// Stop takes the line away and waits for whoever draws it.
func (p *Progress) Stop() {
	if p.Out == nil {
		return
	}
	close(p.stop)
	p.ticking.Wait()
	p.Clear(func() {})
}

// At is told what is being waited for now.
func (p *Progress) At(endpoint string, stage Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.since = fmt.Sprintf("%s: %s", endpoint, waitsFor(stage)), time.Now()
}

// Clear takes the line away while print writes.
func (p *Progress) Clear(print func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		io.WriteString(p.Out, "\r\x1b[K")
		p.shown = false
	}
	print()
}

func (p *Progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what == "" {
		return
	}
	fmt.Fprintf(p.Out, "\r\x1b[K%s … %d s", p.what, int(time.Since(p.since).Seconds()))
	p.shown = true
}

func waitsFor(s Stage) string {
	switch s {
	case Resolver:
		return "asking the resolver"
	case Listener:
		return "through the relay to a listener"
	case Target:
		return "waiting for the target"
	}
	return string(s)
}
