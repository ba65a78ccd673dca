package fakerelay

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a stand-in relay. Set its fields before Serve; entities may come
// and go later.
type Server struct {
	Entities []Entity
	Rules    []Rule // of the namespace; they hold for every entity

	Certificate tls.Certificate // served to everybody; see NewCertificate
	Curves      []tls.CurveID   // key exchanges taken, as in tls.Config; a client that offers no share of one gets a HelloRetryRequest
	Hostname    string          // host[:port] put into accept addresses; empty = the Host header of the listener's own request

	StaticBearer string // a token accepted as it is, for everything; empty = none
	// Bearer judges tokens of Entra ID in the test's own way, from several goroutines;
	// one that it takes holds for everything and has no end. Nil takes none.
	Bearer func(token string) bool
	// EntraKey checks tokens of Entra ID for https://relay.azure.net/, which hold for
	// everything: an *rsa.PublicKey (RS256) or a []byte (HS256). Nil takes none.
	EntraKey       any
	SendMayNotRead bool          // the description is for rules with the Listen right alone
	AcceptTimeout  time.Duration // for a listener to come for a sender; 0 = 30 s
	TokenGrace     time.Duration // how long a control channel outlives its token; 0 = 5 min
	PongInterval   time.Duration // of unsolicited Pong frames; 0 = 210 s
	Buffer         int           // bytes held per direction of a joined connection; 0 = 1 MiB

	// What nobody outside Azure knows of it: each both ways, so that clients are
	// tested against both.
	UnknownEntityStatus int           // where no entity is, for a token of none of the namespace's rules: 404, or 401 as to a wrong key; 0 = 404
	MissingClaimStatus  int           // for a good token without the right needed: 401 or 403; 0 = 401
	NotFoundOnTimeout   bool          // after AcceptTimeout the sender gets 404 instead of 504
	ExpiryLeeway        time.Duration // how long after its end a token still opens a connection; 0 = not at all
	// IdleCut drops a control channel, or a joined connection, when one of its sockets
	// brought nothing and was sent nothing but Pongs of the relay's own for this long;
	// 0 = never.
	IdleCut               time.Duration
	FullCloseOnFirstClose bool // the first Close ends both directions
	RewriteCloseCodes     bool // senders get Close 1000, listeners 1001, whatever was sent
	IgnoreNameCase        bool // names of entities are compared without case

	NodeRejects bool // statusCode without its prefix sb-hc- rejects too, as the Node listeners write it

	Clock func() time.Time // what the relay takes for the time: in its Date headers and timestamps, and when it judges tokens; nil = time.Now

	Fault  func(Connect) Fault // asked once for every sender's connect, from several goroutines; nil = no faults
	Logger *slog.Logger        // nil = no logs

	mu       sync.Mutex
	ln       net.Listener
	hybrids  map[string]*hybrid
	controls map[*channel]struct{}
	pending  map[string]*pending // by accept id
	pairs    map[*pair]struct{}
	conns    map[net.Conn]struct{}
	draining bool
	stopped  bool
	connects []Connect
	attempts map[string]int

	left     chan struct{} // a control channel or a joined connection has ended
	wg       sync.WaitGroup
	rings    sync.Pool
	open     atomic.Int64
	up, down atomic.Int64
}

const (
	defaultAcceptTimeout = 30 * time.Second
	defaultPongInterval  = 210 * time.Second
	defaultBuffer        = 1 << 20

	// headTimeout bounds TLS handshake and request head, so that strangers
	// who connect and stay silent do not pile up.
	headTimeout = 20 * time.Second
	// keepAlive is how long a connection may wait for its next request. It
	// covers clients that finish TLS handshakes before they need them.
	keepAlive = 2 * time.Minute

	maxListeners = 25
	// keptConnects bounds Connects, for a relay that runs for days.
	keptConnects = 10_000
)

// Serve accepts connections from ln, which carry TLS, until ctx ends or ln
// fails. It owns and closes ln. When it ends, every connection is reset
// without a Close frame; it returns when all its goroutines have ended, with
// nil if ctx was the reason.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.mu.Lock()
	for _, e := range s.Entities {
		s.addLocked(e)
	}
	s.ln = ln
	s.conns = map[net.Conn]struct{}{}
	s.controls = map[*channel]struct{}{}
	s.pending = map[string]*pending{}
	s.pairs = map[*pair]struct{}{}
	s.attempts = map[string]int{}
	s.left = make(chan struct{}, 1)
	s.draining, s.stopped = false, false
	s.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.wg.Go(func() {
		<-ctx.Done()
		ln.Close()
		s.resetAll()
	})
	config := &tls.Config{
		Certificates:     []tls.Certificate{s.Certificate},
		MinVersion:       tls.VersionTLS12,
		NextProtos:       []string{"http/1.1"},
		CurvePreferences: s.Curves,
		// Small first records help a browser, and only cost a tunnel.
		DynamicRecordSizingDisabled: true,
	}
	err := s.accept(ctx, ln, config)
	cancel()
	s.wg.Wait()
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, config *tls.Config) error {
	for {
		raw, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				raw.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed) && s.drains():
			<-ctx.Done()
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Too many open files, most likely: it passes when some close.
			s.logger().Warn("accept", "error", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		case s.track(raw):
			s.wg.Go(func() { s.serveConn(ctx, newPeer(raw, config)) })
		}
	}
}

func (s *Server) drains() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// track makes raw one of the connections that the end of Serve resets.
func (s *Server) track(raw net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		raw.Close()
		return false
	}
	s.conns[raw] = struct{}{}
	return true
}

func (s *Server) untrack(p *peer) {
	s.mu.Lock()
	delete(s.conns, p.raw)
	s.mu.Unlock()
}

func (s *Server) resetAll() {
	s.mu.Lock()
	s.stopped = true
	conns := s.conns
	s.conns = map[net.Conn]struct{}{}
	s.mu.Unlock()
	for raw := range conns {
		reset(raw)
	}
}

// reset closes raw so that its peer cannot take it for an orderly end.
func reset(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	raw.Close()
}

// Connections is the number of joined connections that are open.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Bytes counts the payload relayed so far: up from senders, down to them.
func (s *Server) Bytes() (up, down int64) { return s.up.Load(), s.down.Load() }

// Connects lists the senders' requests so far, those refused included, up to
// the last 10,000.
func (s *Server) Connects() []Connect {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

func (s *Server) now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

func (s *Server) acceptTimeout() time.Duration {
	if s.AcceptTimeout == 0 {
		return defaultAcceptTimeout
	}
	return s.AcceptTimeout
}

func (s *Server) pongInterval() time.Duration {
	if s.PongInterval == 0 {
		return defaultPongInterval
	}
	return s.PongInterval
}

func (s *Server) tokenGrace() time.Duration {
	if s.TokenGrace == 0 {
		return defaultTokenGrace
	}
	return s.TokenGrace
}

func (s *Server) buffer() int {
	if s.Buffer == 0 {
		return defaultBuffer
	}
	return s.Buffer
}
