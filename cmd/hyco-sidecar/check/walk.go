package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"hyco-sidecar/relayclient"
)

// walk is one endpoint's way, in progress.
type walk struct {
	*Checker
	e Endpoint
	Result
}

// walk goes through all stages.
func (c *Checker) walk(ctx context.Context, name string, here surroundings) Result {
	w := &walk{Checker: c, Result: Result{Endpoint: name}}
	if w.findEndpoint(name) {
		if ctx.Err() != nil {
			w.skipAll()
			return w.Result
		}
		w.checkNames(ctx, here)
		w.checkSocket(ctx, here.running)
		w.goBeyond(ctx)
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

func (w *walk) pass(s Stage, took time.Duration, saw string, notes ...string) {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: OK, Seconds: took.Seconds(), Saw: clean(saw), Notes: cleanAll(notes)})
}

func (w *walk) skip(s Stage, why string) {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: Skipped, Saw: clean(why)})
}

func (w *walk) fail(s Stage, took time.Duration, v Verdict, saw, next string, notes ...string) *Step {
	w.Stages = append(w.Stages, Step{Stage: s, Outcome: Failed, Seconds: took.Seconds(), Saw: clean(saw), Verdict: v,
		Next: clean(next), See: v.See(), Notes: cleanAll(notes)})
	return &w.Stages[len(w.Stages)-1]
}

// clean takes out what a terminal would obey: certificates' names and proxies'
// phrases come from outside.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, text)
}

func cleanAll(texts []string) []string {
	for i, text := range texts {
		texts[i] = clean(text)
	}
	return texts
}

// reportCutShort reports a stage during which, or before which, the check was ended:
// nothing is known of it then.
func (w *walk) reportCutShort(ctx context.Context, s Stage, took time.Duration) {
	if ctx.Err() == context.Canceled {
		w.fail(s, took, Unfinished, "interrupted", "run the check again")
		return
	}
	w.fail(s, took, Unfinished, "the time for the whole check is over", "give it more with --timeout, or name fewer endpoints")
}

// findEndpoint finds the endpoint.
func (w *walk) findEndpoint(name string) bool {
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
	w.pass(Configuration, 0, saw)
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

// checkNames asks the resolver for the stand-in address.
func (w *walk) checkNames(ctx context.Context, here surroundings) {
	switch {
	case w.e.Literal:
		w.skip(Resolver, "apps look no address up")
		return
	case !here.running && here.silence != "":
		w.fail(Resolver, 0, DNSNotReaching, here.silence, "start the sidecar, or have it listen there (HYCO_DNS_LISTEN)")
		return
	case !here.running:
		w.skip(Resolver, noSidecar)
		return
	}
	began := w.begin(Resolver)
	n := w.Resolve(ctx, w.e.Host)
	var self Named
	if !w.right(n) && ctx.Err() == nil {
		self = w.Self(ctx, w.e.Host)
	}
	took := time.Since(began)
	if ctx.Err() != nil {
		w.reportCutShort(ctx, Resolver, took)
		return
	}
	want := w.e.Address.Addr()
	wrong := func(n Named) {
		saw := fmt.Sprintf("%s (%s) does not give %s for %s: %s", n.Server, n.Sidecar, want, w.e.Host, given(n))
		w.fail(Resolver, took, DNSWrongAddress, saw, "the running sidecar has other settings: restart it with these")
	}
	switch {
	case w.right(n) && n.Sidecar != "":
		w.pass(Resolver, took, fmt.Sprintf("%s answers %s", n.Server, want), w.moreNameservers()...)
	case w.right(n):
		w.pass(Resolver, took, fmt.Sprintf("%s, from a hosts file or another resolver", want))
	case n.Sidecar != "" && w.right(self) && self.Instance == n.Instance:
		saw := fmt.Sprintf("a hosts file or a cache gives %s for %s; the sidecar itself, at %s, answers %s", given(n), w.e.Host, self.Server, want)
		w.fail(Resolver, took, DNSWrongAddress, saw, "correct or remove the line of "+w.e.Host+" in the hosts file, or restart what remembers")
	case n.Sidecar != "":
		wrong(n)
	case w.elsewhere(n) != "" && self.Sidecar != "" && !w.right(self):
		wrong(self)
	case w.elsewhere(n) != "" && self.Sidecar != "":
		w.pass(Resolver, took, "the sidecar answers at "+self.Server, w.elsewhere(n))
	default:
		saw := fmt.Sprintf("%s answers, and is not this sidecar", n.Server)
		if err, nobody := silent(n.Err); nobody {
			saw = fmt.Sprintf("no answer from %s: %s", n.Server, err)
		}
		w.fail(Resolver, took, DNSNotReaching, saw, "have /etc/resolv.conf of the app's container name the sidecar's resolver, and no other",
			append([]string{"for " + w.e.Host + ": " + given(n)}, w.moreNameservers()...)...)
	}
}

// right tells an answer that is the stand-in address, and nothing beside it.
func (w *walk) right(n Named) bool {
	return len(n.Addrs) > 0 && !slices.ContainsFunc(n.Addrs, func(a netip.Addr) bool { return a != w.e.Address.Addr() })
}

// elsewhere is why resolv.conf need not name the sidecar here; empty when it has to.
func (w *walk) elsewhere(n Named) string {
	const seen = "Whether the app asks the sidecar is seen with `hyco-sidecar status`, or in its container with `nslookup -type=TXT " + Canary + "`"
	switch {
	case w.OwnContainer:
		return fmt.Sprintf("this is the sidecar's own container, where /etc/resolv.conf names %s; the app's container has its own. ", n.Server) + seen
	case w.OtherPort != 0:
		return fmt.Sprintf("the sidecar was asked directly, for /etc/resolv.conf cannot name port %d. ", w.OtherPort) + seen
	}
	return ""
}

// moreNameservers is a note where resolv.conf names others beside the sidecar.
func (w *walk) moreNameservers() []string {
	if len(w.Ours) == 0 || len(w.Others) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("/etc/resolv.conf names %s beside the sidecar, and some C libraries take whichever answers first: "+
		"leave the sidecar alone in it (docs/troubleshooting.md#resolv_conf_more_nameservers)", joined(w.Others))}
}

// silent tells a resolver that did not answer from one that has none to give.
func silent(err error) (why string, nobody bool) {
	e, ok := errors.AsType[*net.DNSError](err)
	// The second is how package net puts SERVFAIL and its like.
	if !ok || e.IsNotFound || e.Err == "server misbehaving" {
		return "", false
	}
	return e.Err, true
}

// given is what a resolver says of a host.
func given(n Named) string {
	if e, ok := errors.AsType[*net.DNSError](n.AddrErr); ok {
		return e.Err
	}
	if n.AddrErr != nil {
		return n.AddrErr.Error()
	}
	if len(n.Addrs) == 0 {
		return "no address"
	}
	return joined(n.Addrs)
}

func joined(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// checkSocket looks for whoever accepts where the endpoint's connections arrive. It asks
// the kernel, for to connect would open a tunnel.
func (w *walk) checkSocket(ctx context.Context, running bool) {
	switch {
	case !running:
		w.skip(Socket, noSidecar)
		return
	case w.Holder == nil:
		w.skip(Socket, "this system does not tell who listens")
		return
	}
	began := w.begin(Socket)
	at := w.e.Arrive
	holder, found := w.Holder(at)
	var uncaptured error
	if found && holder == at.Addr() && w.Captured != nil {
		uncaptured = w.Captured(ctx)
	}
	took := time.Since(began)
	switch {
	case uncaptured != nil && ctx.Err() != nil:
		w.reportCutShort(ctx, Socket, took)
	case uncaptured != nil:
		w.fail(Socket, took, CaptureMissing, fmt.Sprintf("accepts at %s, but connections to %s are not led there: %v", at, w.e.Address, uncaptured),
			"see what the running sidecar's log says; where an init container installs the rules, it needs the sidecar's settings")
	case found && holder == at.Addr() && w.Captured != nil:
		w.pass(Socket, took, fmt.Sprintf("rules lead connections to %s to %s, which accepts", w.e.Address, at))
	case found && holder == at.Addr():
		w.pass(Socket, took, "accepts at "+at.String())
	case found:
		w.fail(Socket, took, ListenerNotBound, fmt.Sprintf("another process listens on port %d of every address", at.Port()),
			"let that process listen on the pod's or container's own address, or on another port, and restart the sidecar")
	default:
		w.fail(Socket, took, ListenerNotBound, "nobody accepts at "+at.String(),
			"the running sidecar has other settings: restart it with these")
	}
}

// goBeyond goes through the relay to the target.
func (w *walk) goBeyond(ctx context.Context) {
	if slices.ContainsFunc(w.Stages, func(s Step) bool { return s.Verdict == Unfinished }) {
		return
	}
	conn := w.joinRelay(ctx)
	if conn == nil {
		return
	}
	s := newStream(conn, w.Guard)
	defer s.close()
	w.checkTarget(ctx, s)
}
