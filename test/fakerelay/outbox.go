package fakerelay

import (
	"cmp"
	"errors"
	"sync"
)

const (
	// firstRing is what a direction holds while data flows at all; it grows
	// towards the limit only under back-pressure.
	firstRing = 64 << 10
	// burst bounds one write, so that room appears while the rest is written.
	burst = 64 << 10
	// slack is kept free of data for control frames (at most 127 bytes each).
	slack = 1 << 10
)

var errOutboxEnded = errors.New("relay: nothing more may be sent")

// outbox holds the bytes on their way to one socket: a ring filled by the
// reader of the opposite socket and emptied by this socket's writer, or by the
// reader itself at the end of a frame. Control frames made here are
// slipped in between two frames of the data.
type outbox struct {
	limit int
	rings *sync.Pool // of *[firstRing]byte

	mu    sync.Mutex
	ring  []byte
	r, n  int    // index of the oldest byte, number of bytes
	mid   bool   // a data frame has begun and not ended
	ended bool   // nothing more is taken; the writer stops when empty
	taken bool   // somebody is writing what next returned
	err   error  // of the reader's writing, for the writer to return
	ctl   []byte // frames waiting for the end of a frame or for room
	pong  []byte // the newest answer to a ping, which waits as ctl does; RFC 6455 section 5.5.3 lets it stand for all

	wake chan struct{} // to the writer: bytes or the end
	room chan struct{} // to the filler
	quit chan struct{} // closed by stop
	once sync.Once

	drained chan struct{} // closed by the writer when it returns
}

func newOutbox(limit int, rings *sync.Pool) *outbox {
	return &outbox{
		limit: limit,
		rings: rings,
		wake:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		quit:  make(chan struct{}),

		drained: make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin announces a data frame; until end no control frame is let in.
func (o *outbox) begin() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return errOutboxEnded
	}
	o.mid = true
	return nil
}

// end completes the data frame and returns how much is queued, which is the
// caller's to flush or to wake the writer for.
func (o *outbox) end() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mid = false
	o.admit()
	return o.n
}

// reserve returns room for at least one and at most n bytes of the frame that
// has begun. It waits while the direction is full.
func (o *outbox) reserve(n int) ([]byte, error) {
	for {
		o.mu.Lock()
		if o.ended {
			o.mu.Unlock()
			return nil, errOutboxEnded
		}
		if free := o.limit - o.n; free > 0 {
			o.grow(1)
			p := o.free()
			o.mu.Unlock()
			return p[:min(len(p), n, free)], nil
		}
		o.mu.Unlock()
		select {
		case <-o.room:
		case <-o.quit:
			return nil, errOutboxEnded
		}
	}
}

// commit adds the first n bytes of what reserve returned, without waking the
// writer: alone, a frame's header would become a TLS record of its own.
func (o *outbox) commit(n int) {
	o.mu.Lock()
	o.n += n
	o.mu.Unlock()
}

// write copies p in, as a part of the frame that has begun.
func (o *outbox) write(p []byte) error {
	for len(p) > 0 {
		room, err := o.reserve(len(p))
		if err != nil {
			return err
		}
		n := copy(room, p)
		o.commit(n)
		p = p[n:]
	}
	return nil
}

// control queues a whole frame without waiting. It reports false when the
// peer has left so much unread that it cannot be queued.
func (o *outbox) control(frame []byte) bool {
	o.mu.Lock()
	ok := !o.ended && len(o.ctl)+len(frame) <= o.limit
	if ok {
		o.ctl = append(o.ctl, frame...)
		o.admit()
	}
	o.mu.Unlock()
	signal(o.wake)
	return ok
}

// answer queues a pong, in place of one that could not be sent yet.
func (o *outbox) answer(frame []byte) {
	o.mu.Lock()
	if !o.ended {
		o.pong = frame
		o.admit()
	}
	o.mu.Unlock()
	signal(o.wake)
}

// finish sends last, if not nil and if no frame is half sent, after everything
// queued, and takes nothing more.
func (o *outbox) finish(last []byte) {
	o.mu.Lock()
	if !o.ended {
		if !o.mid {
			o.ctl = append(o.ctl, last...)
			o.pong = nil
			o.grow(len(o.ctl))
			o.put(o.ctl)
		}
		o.ctl, o.pong = nil, nil
		o.ended = true
	}
	o.mu.Unlock()
	signal(o.wake)
	signal(o.room)
}

// next returns bytes to write, nil when there are none or somebody is writing
// already; done means that none will follow. Who gets some calls release.
func (o *outbox) next() (p []byte, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken {
		return nil, false
	}
	if o.n == 0 || o.err != nil {
		return nil, o.ended || o.err != nil
	}
	o.taken = true
	return o.ring[o.r:min(o.r+o.n, o.r+burst, len(o.ring))], false
}

// release gives the room of n written bytes back. A failure is the end of
// writing.
func (o *outbox) release(n int, err error) {
	o.mu.Lock()
	o.taken = false
	o.err = cmp.Or(o.err, err)
	o.r += n
	o.n -= n
	if o.r == len(o.ring) {
		o.r = 0
	}
	if o.n == 0 && !o.mid {
		o.r = 0
		o.giveBack()
	}
	o.admit()
	o.mu.Unlock()
	signal(o.room)
}

// failure is why next is done, nil for an orderly end.
func (o *outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// stop frees everybody who waits; what is queued is lost.
func (o *outbox) stop() {
	o.once.Do(func() { close(o.quit) })
}

// admit moves waiting control frames into the ring when a frame may start.
func (o *outbox) admit() {
	if o.mid || o.ended {
		return
	}
	if o.n+len(o.ctl) <= o.limit+slack {
		o.grow(len(o.ctl))
		o.put(o.ctl)
		o.ctl = o.ctl[:0]
	}
	if len(o.ctl) == 0 && o.n+len(o.pong) <= o.limit+slack {
		o.grow(len(o.pong))
		o.put(o.pong)
		o.pong = nil
	}
}
