package dnsproxy

import (
	"container/list"
	"net"
	"sync"
)

// visitors are the open client connections, of which there are only so many: a
// further one takes the place of the one that has been silent for longest (RFC
// 7766 section 6.2.3). Clients that hold connections and say nothing, or little
// and slowly, so keep nobody out.
type visitors struct {
	limit int

	mu    sync.Mutex
	conns list.List // of net.Conn; the first has been silent for longest
}

// A visitor is one of them.
type visitor struct {
	all *visitors
	at  *list.Element
}

// enter adds conn. Its owner calls leave.
func (v *visitors) enter(conn net.Conn) visitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conns.Len() >= v.limit {
		v.conns.Remove(v.conns.Front()).(net.Conn).Close()
	}
	return visitor{v, v.conns.PushBack(conn)}
}

// spoke notes that a whole query has come.
func (v visitor) spoke() {
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	v.all.conns.MoveToBack(v.at) // nothing, if it was sent away
}

func (v visitor) leave() {
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	v.all.conns.Remove(v.at) // likewise
}
