package forwarder

import (
	"sync"
	"time"
)

// dialers run dials on goroutines that wait a little for the next one. A dial
// needs a stack many times as deep as what comes after it: growing one took 5 %
// of a new connection's CPU time, and the connection would keep it.
type dialers struct {
	jobs    chan func()     // unbuffered: a send succeeds only if an idle worker is receiving
	over    <-chan struct{} // closed when idle workers are to end
	guarded func(f func()) func()
	workers sync.WaitGroup
}

// workerRest is how long a goroutine waits for another dial.
const workerRest = time.Second

// run runs job on a goroutine that has a stack, or on a new one.
func (d *dialers) run(job func()) {
	select {
	case d.jobs <- job:
	default:
		d.workers.Go(d.guarded(func() { d.work(job) }))
	}
}

// work runs job, and others that come within workerRest of the last.
func (d *dialers) work(job func()) {
	timer := time.NewTimer(workerRest)
	defer timer.Stop()
	for {
		job()
		timer.Reset(workerRest)
		select {
		case job = <-d.jobs:
		case <-timer.C:
			return
		case <-d.over:
			return
		}
	}
}
