package dnsproxy

import (
	"container/list"
	"net"
	"sync"
)

// tcpClients are the open client connections, limit at most: a further one takes
// the place of the one that has been silent for longest (RFC 7766 section 6.2.3).
// So clients that hold connections and say nothing, or little and slowly, keep
// nobody else out.
type tcpClients struct {
	limit int

	mu    sync.Mutex
	conns list.List // of net.Conn; the first has been silent for longest
}

// A tcpClient is one of the open connections.
type tcpClient struct {
	all *tcpClients
	at  *list.Element // in no list once another has taken its place
}

// add adds conn. Its owner calls remove.
func (c *tcpClients) add(conn net.Conn) tcpClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns.Len() >= c.limit {
		c.conns.Remove(c.conns.Front()).(net.Conn).Close()
	}
	return tcpClient{c, c.conns.PushBack(conn)}
}

// noteMessage notes that a whole message has come.
func (c tcpClient) noteMessage() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.conns.MoveToBack(c.at) // does nothing if c is in no list
}

// remove makes room for another. It does not close the connection.
func (c tcpClient) remove() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.conns.Remove(c.at) // does nothing if c is in no list
}
