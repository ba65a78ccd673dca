package relayclient

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameCache remembers what the machine's nameservers said of the relay's name,
// for as long as they allow: every new connection asks again, and the answer
// stands between it and its first byte. It sits beneath Go's resolver, as the
// connection to a nameserver, so that hosts files, search lists and the race
// between address families stay as they are. The zero value is empty.
type nameCache struct {
	now func() time.Time // nil: time.Now

	mu      sync.Mutex
	answers map[string]answer // by nameserver and query without its id
}

type answer struct {
	reply []byte
	until time.Time
}

// maxRemembered bounds the map; there are a name or two per client, a handful of
// search suffixes, and two types.
const maxRemembered = 64

// However long nameservers allow, an address is believed for maxPositive, since
// namespaces fail over, and "no such data" for maxNegative.
const (
	maxPositive = 5 * time.Minute
	maxNegative = time.Minute
)

// connector connects to an address.
type connector func(ctx context.Context, network, address string) (net.Conn, error)

// resolver looks names up through the cache.
func (c *nameCache) resolver(dial connector, panicked guard) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		defer panicked.raise() // on a goroutine of net's, as are the reads and writes
		return c.connect(ctx, dial, panicked, network, address)
	}}
}

// connect returns a connection to a nameserver. Only datagrams are remembered.
func (c *nameCache) connect(ctx context.Context, dial connector, panicked guard, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	udp, ok := conn.(*net.UDPConn)
	if err != nil || !ok || !strings.HasPrefix(network, "udp") {
		return conn, err
	}
	return &nameserver{UDPConn: udp, cache: c, panicked: panicked, address: address}, nil
}

func (c *nameCache) time() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

func (c *nameCache) get(key string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.answers[key]; ok && c.time().Before(a.until) {
		return bytes.Clone(a.reply)
	}
	return nil
}

func (c *nameCache) put(key string, reply []byte, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil || len(c.answers) >= maxRemembered {
		c.answers = make(map[string]answer)
	}
	c.answers[key] = answer{bytes.Clone(reply), c.time().Add(ttl)}
}

// forget makes the next look-up ask again: what was remembered leads nowhere.
func (c *nameCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.answers)
}

// nameserver is one exchange of Go's resolver with a nameserver: a query
// written, then replies read until one fits.
type nameserver struct {
	*net.UDPConn
	cache    *nameCache
	panicked guard
	address  string
	query    []byte
	reply    []byte // remembered, for the next Read
}

func (n *nameserver) key() string { return n.address + "\x00" + string(n.query[2:]) }

func (n *nameserver) Write(query []byte) (int, error) {
	defer n.panicked.raise()
	if len(query) < 2 {
		return n.UDPConn.Write(query)
	}
	n.query = bytes.Clone(query)
	if n.reply = n.cache.get(n.key()); n.reply != nil {
		copy(n.reply, query[:2])
		return len(query), nil
	}
	return n.UDPConn.Write(query)
}

func (n *nameserver) Read(p []byte) (int, error) {
	defer n.panicked.raise()
	if n.reply != nil {
		size := copy(p, n.reply)
		n.reply = nil
		return size, nil
	}
	size, err := n.UDPConn.Read(p)
	if err == nil && len(n.query) >= 2 {
		if ttl := lifetime(n.query, p[:size]); ttl > 0 {
			n.cache.put(n.key(), p[:size], ttl)
		}
	}
	return size, err
}

// lifetime is how long reply, if it answers query, may be believed: the least
// TTL of its answers, or the SOA's word where there are none (RFC 2308 §5).
func lifetime(query, reply []byte) time.Duration {
	var q, r dnsmessage.Parser
	asked, err := q.Start(query)
	if err != nil {
		return 0
	}
	header, err := r.Start(reply)
	if err != nil || header.ID != asked.ID || !header.Response || header.Truncated ||
		header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
		return 0
	}
	question, err := q.Question()
	if err != nil {
		return 0
	}
	questions, err := r.AllQuestions()
	if err != nil || len(questions) != 1 || questions[0].Type != question.Type || questions[0].Class != question.Class ||
		!strings.EqualFold(questions[0].Name.String(), question.Name.String()) {
		return 0
	}
	answers, err := r.AllAnswers()
	if err != nil {
		return 0
	}
	if len(answers) == 0 || header.RCode != dnsmessage.RCodeSuccess {
		return negative(&r)
	}
	ttl := answers[0].Header.TTL
	for _, a := range answers {
		ttl = min(ttl, a.Header.TTL)
	}
	return min(seconds(ttl), maxPositive)
}

func negative(r *dnsmessage.Parser) time.Duration {
	authorities, err := r.AllAuthorities()
	if err != nil {
		return 0
	}
	for _, a := range authorities {
		if soa, ok := a.Body.(*dnsmessage.SOAResource); ok {
			return min(seconds(min(a.Header.TTL, soa.MinTTL)), maxNegative)
		}
	}
	return 0
}

// seconds reads a TTL; the upper half of its range means 0 (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
