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

// nameCache remembers what the machine's nameservers said of the relay's name, for as long
// as they allow: otherwise every new connection would ask again, and wait for the answer. It
// sits beneath Go's resolver, as the connection to a nameserver, so that hosts files, search
// lists and the race between address families stay as they are. The zero value is empty.
type nameCache struct {
	now func() time.Time // for tests; nil means time.Now

	mu      sync.Mutex
	answers map[string]answer // by nameserver and query without id, see nameserver.key
}

type answer struct {
	reply []byte
	until time.Time
}

// maxRemembered bounds the number of answers; there are a name or two per client, a handful
// of search suffixes, and two types.
const maxRemembered = 64

// However long nameservers allow, answers are remembered no longer than this.
const (
	maxPositive = 5 * time.Minute // addresses: a namespace may fail over
	maxNegative = time.Minute     // that there is no such name or data
)

// connector connects to a nameserver, as a [net.Dialer]'s DialContext does.
type connector func(ctx context.Context, network, address string) (net.Conn, error)

// resolver looks names up through the cache.
//
// Package net dials, writes and reads on goroutines that it starts itself, and that no Guard
// wraps. Each of these calls therefore runs its own part within guarded, so that a panic in
// it is met as on a goroutine of the Client.
func (c *nameCache) resolver(dial connector, guarded func(f func()) func()) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		guarded(func() { conn, err = c.connect(ctx, dial, guarded, network, address) })()
		return conn, err
	}}
}

// connect returns a connection to a nameserver. Only what is asked by datagram is
// remembered: TCP is for the rare answer that does not fit one.
func (c *nameCache) connect(ctx context.Context, dial connector, guarded func(f func()) func(), network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	udp, ok := conn.(*net.UDPConn)
	if err != nil || !ok || !strings.HasPrefix(network, "udp") {
		return conn, err
	}
	return &nameserver{UDPConn: udp, cache: c, guarded: guarded, address: address}, nil
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

// forget drops all answers, so that the next look-up asks again.
func (c *nameCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.answers)
}

// nameserver is the connection on which Go's resolver asks one question: it writes a query,
// then reads replies until one fits.
type nameserver struct {
	*net.UDPConn
	cache   *nameCache
	guarded func(f func()) func()
	address string
	query   []byte
	reply   []byte // remembered, for the next Read
}

func (n *nameserver) key() string { return n.address + "\x00" + string(n.query[2:]) }

func (n *nameserver) Write(query []byte) (size int, err error) {
	n.guarded(func() { size, err = n.ask(query) })()
	return size, err
}

func (n *nameserver) Read(p []byte) (size int, err error) {
	n.guarded(func() { size, err = n.take(p) })()
	return size, err
}

// ask sends the query, or finds its reply in the cache.
func (n *nameserver) ask(query []byte) (int, error) {
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

// take returns the reply, and caches one that came from the nameserver.
func (n *nameserver) take(p []byte) (int, error) {
	if n.reply != nil {
		size := copy(p, n.reply)
		n.reply = nil
		return size, nil
	}
	size, err := n.UDPConn.Read(p)
	if err == nil && len(n.query) >= 2 {
		if ttl := ttlOf(n.query, p[:size]); ttl > 0 {
			n.cache.put(n.key(), p[:size], ttl)
		}
	}
	return size, err
}

// ttlOf is how long reply, if it answers query, may be remembered: the least TTL of its
// answers, or what its SOA says where there are none (RFC 2308 §5). 0 = not at all.
func ttlOf(query, reply []byte) time.Duration {
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

// negative is the TTL of a reply without answers, which r has reached the end of: the lesser
// of the SOA's own and its minimum field.
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

// seconds is a TTL as a duration; the upper half of its range means 0 (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
