package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"hyco-sidecar/relayclient"
)

// walk is one endpoint's way, in progress.
type walk struct {
	*Checker
	e Endpoint
	Result
}

// walk goes through all stages.
func (c *Checker) walk(ctx context.Context, name string, running bool) Result {
	w := &walk{Checker: c, Result: Result{Endpoint: name}}
	if w.configured(name) {
		w.names(ctx, running)
		w.socket(running)
		w.beyond(ctx)
	}
	w.judge()
	return w.Result
}

func (w *walk) begin(s Stage) (began time.Time) {
	if w.Progress != nil {
		w.Progress(w.Endpoint, s)
	}
	return time.Now()
}

func (w *walk) ok(s Stage, took time.Duration, saw string, notes ...string) {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: OK, Seconds: took.Seconds(), Saw: saw, Notes: notes})
}

func (w *walk) skip(s Stage, why string) {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: Skipped, Saw: why})
}

func (w *walk) fail(s Stage, took time.Duration, v Verdict, saw, next string, notes ...string) *Step {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: Failed, Seconds: took.Seconds(), Saw: saw, Verdict: v, Next: next, See: v.See(), Notes: notes})
	return &w.Stages[len(w.Stages)-1]
}

// cutShort reports a stage during which, or before which, the check was ended:
// nothing is known of it then.
func (w *walk) cutShort(ctx context.Context, s Stage, took time.Duration) {
	if ctx.Err() == context.Canceled {
		w.fail(s, took, Unfinished, "interrupted", "run the check again")
		return
	}
	w.fail(s, took, Unfinished, "the time for the whole check is over", "give it more with --timeout, or name fewer endpoints")
}

// configured finds the endpoint.
func (w *walk) configured(name string) bool {
	i := slices.IndexFunc(w.Endpoints, func(e Endpoint) bool { return e.Name == name })
	if i < 0 {
		w.fail(Configuration, 0, NameNotConfigured, "no setting has this host and port",
			"use the name and port of a setting, just as the app writes them: "+list(w.Endpoints))
		return false
	}
	w.e = w.Endpoints[i]
	w.Address, w.Namespace, w.Entity, w.Credential = w.e.Address.String(), w.e.Namespace, w.e.Entity, w.e.Credential
	w.ID = relayclient.NewID()
	saw := fmt.Sprintf("%s of %s, credential: %s", w.Entity, w.Namespace, w.Credential)
	w.ok(Configuration, 0, saw)
	return true
}

// list names the first few endpoints.
func list(endpoints []Endpoint) string {
	const most = 5
	var names []string
	for _, e := range endpoints[:min(len(endpoints), most)] {
		names = append(names, e.Name)
	}
	if more := len(endpoints) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

const noSidecar = "no sidecar runs here"

// names asks the resolver for the stand-in address.
func (w *walk) names(ctx context.Context, running bool) {
	if !running {
		w.skip(Resolver, noSidecar)
		return
	}
	began := w.begin(Resolver)
	n := w.Resolve(ctx, w.e.Host)
	took := time.Since(began)
	if ctx.Err() != nil {
		w.cutShort(ctx, Resolver, took)
		return
	}
	want := w.e.Address.Addr()
	right := len(n.Addrs) == 1 && n.Addrs[0] == want
	switch {
	case right && n.Sidecar != "":
		w.ok(Resolver, took, fmt.Sprintf("%s answers %s", n.Server, want))
		return
	case right:
		w.ok(Resolver, took, fmt.Sprintf("%s, from a hosts file or another resolver", want))
		return
	case n.Sidecar != "":
		saw := fmt.Sprintf("%s (%s) does not give %s for %s: %s", n.Server, n.Sidecar, want, w.e.Host, given(n))
		w.fail(Resolver, took, DNSWrongAddress, saw, "restart the sidecar with these settings: the one that runs has others")
		return
	}
	if self := w.Self(ctx); w.OwnContainer && self.Sidecar != "" {
		w.ok(Resolver, time.Since(began), "the sidecar answers at "+self.Server, fmt.Sprintf(
			"this is the sidecar's own container, where /etc/resolv.conf names %s; the app's container has its own. "+
				"Whether the app asks the sidecar is seen with `hyco-sidecar status`, or there with `nslookup -type=TXT %s`", n.Server, Canary))
		return
	}
	saw := fmt.Sprintf("%s answers, and is not this sidecar", n.Server)
	if e, ok := errors.AsType[*net.DNSError](n.Err); ok && !e.IsNotFound {
		saw = fmt.Sprintf("no answer from %s: %s", n.Server, e.Err)
	}
	w.fail(Resolver, took, DNSNotReaching, saw,
		"have /etc/resolv.conf of the app's container name the sidecar's resolver, and no other", "for "+w.e.Host+": "+given(n))
}

// given is what a resolver says of a host.
func given(n Named) string {
	if e, ok := errors.AsType[*net.DNSError](n.AddrErr); ok {
		return e.Err
	}
	var all []string
	for _, a := range n.Addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// socket looks for whoever accepts at the stand-in address. It asks the kernel,
// for to connect would open a tunnel.
func (w *walk) socket(running bool) {
	switch {
	case !running:
		w.skip(Socket, noSidecar)
		return
	case w.Holder == nil:
		w.skip(Socket, "this system does not tell who listens")
		return
	}
	began := w.begin(Socket)
	at := w.e.Address
	holder, found := w.Holder(at)
	took := time.Since(began)
	switch {
	case found && holder == at.Addr():
		w.ok(Socket, took, "accepts at "+at.String())
	case found:
		w.fail(Socket, took, ListenerNotBound, fmt.Sprintf("another process listens on port %d of every address", at.Port()),
			"let that process listen on the pod's or container's own address, or on another port, and restart the sidecar")
	default:
		w.fail(Socket, took, ListenerNotBound, "nobody accepts at "+at.String(),
			"restart the sidecar with these settings: the one that runs has others")
	}
}

// beyond goes through the relay to the target.
func (w *walk) beyond(ctx context.Context) {
	if slices.ContainsFunc(w.Stages, func(s Step) bool { return s.Verdict == Unfinished }) {
		return
	}
	conn := w.relay(ctx)
	if conn == nil {
		return
	}
	s := newStream(conn)
	defer s.close()
	w.target(ctx, s)
}
