package fakelistener

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// Personality is a listener known from the field.
type Personality string

const (
	// HCM is the Hybrid Connection Manager. It accepts first and dials then;
	// it passes no end of stream on, in neither direction, nor a reset, and closes
	// when both directions have ended. Messages are of 16 KiB at most. A target that
	// cannot be reached looks like a Close 1000 without any data.
	HCM Personality = "hcm"
	// HCMService is HCM as its service starts it: the target is what the hybrid
	// connection's metadata names, read as .NET reads it, and the process ends where
	// that names none.
	HCMService Personality = "hcm-v2-service"
	// HalfClose is a careful program on the .NET library: every end of
	// stream is passed on, and a reset becomes a lost connection.
	HalfClose Personality = "halfclose"
	// DotnetRaw is the .NET library itself: the connection's first byte says what
	// it does, see Exercise.
	DotnetRaw Personality = "dotnet-raw"
	// Azbridge is azbridge -T: after its preamble it passes ends of stream on, and
	// takes a target's reset for the end of a direction of which it says nothing.
	Azbridge Personality = "azbridge"
	// Aztunnel is aztunnel's listener: it dials what the sender's first message
	// names, answers whether that worked, takes messages of 32 KiB at most, and ends
	// both directions when one ends. Where the target ended first it mostly leaves
	// without a Close, see EndsTLS.
	Aztunnel Personality = "aztunnel"
	// NodeLike is a program on hyco-ws: a Close is answered at once, and
	// ends both directions.
	NodeLike Personality = "node"
	// Reject refuses every connection.
	Reject Personality = "reject"
	// NeverRendezvous is online and comes to no rendezvous.
	NeverRendezvous Personality = "never-rendezvous"
)

// Listener registers with a relay and joins the connections that it is told
// of to its target. Set its fields before Serve.
type Listener struct {
	ConnectionString string         // with EntityPath and the key of a rule that may listen
	RootCAs          *x509.CertPool // nil = the system's
	RelayAddress     string         // host:port to connect to instead of the names that the relay goes by; empty = those
	Personality      Personality    // zero = HCM

	// Dial reaches the private target; ID tells for whom. The listener closes
	// what it returns. It is not needed by Reject, NeverRendezvous, DotnetRaw, and
	// HCMService, which dials what the metadata names.
	Dial func(ctx context.Context) (net.Conn, error)

	RejectStatus   int                      // of Reject; 0 = 400
	RejectPhrase   string                   // of Reject; empty = "Rejected by user code"
	HandshakeDelay time.Duration            // before every rendezvous
	DialTimeout    time.Duration            // of the target; 0 = the system's, on Linux more than two minutes
	PortNames      []string                 // that Azbridge serves; none = any. A number is another name for one that is alone
	Datagrams      bool                     // of Azbridge: its ports forward UDP
	Answer         []byte                   // of Azbridge instead of its own, before it closes
	EndsTLS        bool                     // of Aztunnel: when its target ends it leaves without a Close; else with Close 1000 "done". The original does either
	WriteTimeout   time.Duration            // of Azbridge towards a relay that takes nothing; 0 = 1 min
	Allow          func(target string) bool // asked by Aztunnel; nil = yes
	TokenLifetime  time.Duration            // of the token, renewed at three quarters of it; 0 = 1 h
	PongInterval   time.Duration            // of unsolicited Pong frames; 0 = 210 s
	CloseWait      time.Duration            // for the peer's Close after ours; 0 = 1 min

	Online func()       // called each time the control channel is up; nil = nobody
	Logger *slog.Logger // nil = no logs

	wg sync.WaitGroup
}

const (
	firstBackOff = time.Second
	lastBackOff  = 2 * time.Second
	// acceptTimeout is what the .NET library gives a rendezvous.
	acceptTimeout = 20 * time.Second
)

// Serve stays registered until ctx ends, and then returns nil when all its
// connections are closed. When the relay is lost or refuses, it tries again
// after 1 s, and then every 2 s: a relay that is started again has its listeners
// back well before an app gives up. An unusable ConnectionString or
// Personality is an error, and so are metadata that HCMService cannot use.
func (l *Listener) Serve(ctx context.Context) error {
	e, err := parseEndpoint(l.ConnectionString)
	if err != nil {
		return err
	}
	switch l.personality() {
	case Reject, NeverRendezvous, DotnetRaw:
	case HCMService:
		if err := l.configure(ctx, e); err != nil {
			return err
		}
	case HCM, HalfClose, Azbridge, Aztunnel, NodeLike:
		if l.Dial == nil {
			return errors.New("listener: Dial is missing")
		}
	default:
		return fmt.Errorf("listener: unknown personality %q", l.Personality)
	}
	defer l.wg.Wait()
	backOff := firstBackOff
	for ctx.Err() == nil {
		online, err := l.register(ctx, e)
		if ctx.Err() != nil {
			break
		}
		if online {
			backOff = firstBackOff
		}
		l.logger().Warn("listener offline", "error", err, "again", backOff)
		select {
		case <-time.After(backOff):
		case <-ctx.Done():
		}
		backOff = min(2*backOff, lastBackOff)
	}
	return nil
}

// register opens the control channel and serves it until it ends.
func (l *Listener) register(ctx context.Context, e endpoint) (online bool, err error) {
	target := fmt.Sprintf("wss://%s/$hc/%s?sb-hc-action=listen&sb-hc-id=%s", e.host, escapePath(e.path), newGUID())
	s, err := l.open(ctx, target, http.Header{"ServiceBusAuthorization": {e.token(l.tokenLifetime())}})
	if err != nil {
		return false, err
	}
	defer s.drop()
	channel, cancel := context.WithCancel(ctx)
	defer cancel()
	l.wg.Go(func() {
		<-channel.Done()
		if ctx.Err() != nil {
			s.sendClose("Normal Closure")
		}
		s.drop()
	})
	l.wg.Go(func() { l.renew(channel, s, e) })
	l.wg.Go(func() { s.keepAlive(l.pongInterval()) })
	l.logger().Info("listener online")
	if l.Online != nil {
		l.Online()
	}
	for {
		text, err := s.readMessage()
		if err != nil {
			return true, err
		}
		var m struct{ Accept *invitation }
		if err := json.Unmarshal(text, &m); err != nil || m.Accept == nil {
			l.logger().Debug("command ignored", "bytes", len(text))
			continue
		}
		// Connections outlive the control channel they were announced on.
		l.wg.Go(func() { l.serveInvitation(ctx, *m.Accept) })
	}
}

// renew keeps the control channel's token fresh.
func (l *Listener) renew(ctx context.Context, s *socket, e endpoint) {
	t := time.NewTicker(l.tokenLifetime() * 3 / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			text, err := json.Marshal(map[string]any{"renewToken": map[string]string{"token": e.token(l.tokenLifetime())}})
			if err != nil {
				return
			}
			if err := s.writeFrame(ws.OpText, text); err != nil {
				return
			}
		}
	}
}

func (l *Listener) personality() Personality {
	if l.Personality == "" {
		return HCM
	}
	return l.Personality
}

func (l *Listener) tokenLifetime() time.Duration {
	if l.TokenLifetime == 0 {
		return time.Hour
	}
	return l.TokenLifetime
}

func (l *Listener) pongInterval() time.Duration {
	if l.PongInterval == 0 {
		return 210 * time.Second
	}
	return l.PongInterval
}

func (l *Listener) closeWait() time.Duration {
	if l.CloseWait == 0 {
		return time.Minute
	}
	return l.CloseWait
}

func (l *Listener) writeTimeout() time.Duration {
	if l.WriteTimeout == 0 {
		return time.Minute
	}
	return l.WriteTimeout
}

func (l *Listener) logger() *slog.Logger {
	if l.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Logger
}
