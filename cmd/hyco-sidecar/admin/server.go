package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server serves a Monitor's facts over HTTP:
//
//	GET  /livez /readyz /startupz   probes
//	GET  /metrics                   for Prometheus
//	GET  /api/status                [Status] as JSON
//	GET  /                          the status page
//	POST /quitquitquit              ends the process in order; from this machine only
//	GET  /debug/pprof/              with Pprof; from this machine only
type Server struct {
	// Monitor has the facts. Required.
	Monitor *Monitor
	// Quit has the process drain and end. Required.
	Quit func()
	// Pprof serves Go's profiles.
	Pprof bool
	// Logger gets what goes wrong with clients, at level debug. Nil discards.
	Logger *slog.Logger
}

// The bounds of a request: these clients are near, and the answers small.
const (
	headTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	maxHead      = 16 << 10
	// Gathering metrics of a thousand endpoints makes a megabyte of text, which a
	// client that does not read holds until writeTimeout.
	maxScrapes = 4
)

// Serve answers on listeners, which it owns and closes, until ctx ends, and
// returns nil then; otherwise the error of the first listener that failed. All
// its goroutines have ended when it returns.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	log := s.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var loops, conns sync.WaitGroup
	server := &http.Server{
		Handler:           s.guarded(s.Handler()),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       headTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew: // on Serve's goroutine, before the connection has its own
				conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				conns.Done()
			}
		},
	}
	// A client that stays takes a descriptor, of which apps' connections need two
	// each; a probe or a page that comes again is soon connected.
	server.SetKeepAlivesEnabled(false)
	for _, ln := range listeners {
		loops.Go(s.Monitor.guarded(func() { stop(server.Serve(ln)) }))
	}
	<-ctx.Done()
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if server.Shutdown(grace) != nil { // someone reads slowly
		server.Close()
	}
	loops.Wait()
	conns.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// guarded answers requests with next as what runs on a goroutine: net/http would
// recover a panic, make a line of the log of it at best, and go on.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Monitor.guarded(func() { next.ServeHTTP(w, r) })()
	})
}

// Handler returns the routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { answerProbe(w, r) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answerProbe(w, r, s.Monitor.ready()...)
	})
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, r *http.Request) { answerProbe(w, r, s.Monitor.started()) })
	mux.Handle("GET /metrics", onlyHere(promhttp.HandlerFor(s.Monitor.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})))
	mux.Handle("GET /api/status", onlyHere(http.HandlerFunc(s.status)))
	mux.Handle("GET /{$}", onlyHere(http.HandlerFunc(servePage)))
	mux.Handle("POST /quitquitquit", onlyHere(http.NewCrossOriginProtection().Handler(fromThisMachine(http.HandlerFunc(s.quit)))))
	if s.Pprof {
		for path, handler := range map[string]http.HandlerFunc{
			"": pprof.Index, "cmdline": http.NotFound, // its arguments are nobody's business
			"profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
		} {
			mux.Handle("GET /debug/pprof/"+path, onlyHere(fromThisMachine(handler)))
		}
	}
	return mux
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(s.Monitor.Status()) // fails only where the client has gone
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "draining")
	s.Quit()
}
