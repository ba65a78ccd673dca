package fakerelay

// The ring of an outbox; outbox.mu is held throughout.

// put adds bytes for which grow has made room.
func (o *outbox) put(p []byte) {
	for len(p) > 0 {
		n := copy(o.free(), p)
		o.n += n
		p = p[n:]
	}
}

// free is the contiguous room behind the newest byte.
func (o *outbox) free() []byte {
	w := o.r + o.n
	if w >= len(o.ring) && o.n > 0 {
		w -= len(o.ring)
		return o.ring[w:o.r]
	}
	return o.ring[w:]
}

// grow makes room for n more bytes. The writer may still be writing from the
// old ring: its bytes stay there, and are copied to where release expects them.
func (o *outbox) grow(n int) {
	if n == 0 || o.n+n <= len(o.ring) {
		return
	}
	if o.ring == nil && n <= firstRing {
		if p, ok := o.rings.Get().(*[firstRing]byte); ok {
			o.ring = p[:]
		} else {
			o.ring = make([]byte, firstRing)
		}
		return
	}
	size := max(2*len(o.ring), firstRing)
	for size < o.n+n {
		size *= 2
	}
	ring := make([]byte, size)
	copied := copy(ring, o.ring[o.r:min(o.r+o.n, len(o.ring))])
	copy(ring[copied:], o.ring[:o.n-copied])
	o.ring, o.r = ring, 0
}

// giveBack lets an idle connection hold no ring.
func (o *outbox) giveBack() {
	if len(o.ring) == firstRing {
		o.rings.Put((*[firstRing]byte)(o.ring))
	}
	o.ring = nil
}
