package capture

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// Keeper keeps the rules in place while a sidecar serves.
type Keeper struct {
	Plan Plan
	// Logger is told when the rules go and come. Nil discards.
	Logger *slog.Logger
	// InPlace is told whether they are there, whenever that changes. Nil means nobody.
	InPlace func(bool)
	// HasUnsentData reports whether the kernel still has bytes for apps, of connections
	// that are over for this process. Nil means that nobody can tell, and none.
	HasUnsentData func() bool

	claim io.Closer
	ours  bool // installed by this process, which repairs and removes them

	rules ruleset // tests have others
}

// ruleset is what a Keeper does with the rules, wherever they are.
type ruleset interface {
	install(Plan) error
	release() error
	remove() error
	verify(context.Context, Plan) error
}

// Start installs the rules, or makes sure that those are there which somebody else
// has installed, where this process may not. The plan's places have to be bound, that
// of the canary included. After a Start without error, Run has to be called. The
// error is a *[Fault], or that of ctx.
func (k *Keeper) Start(ctx context.Context) error {
	if k.rules == nil {
		k.rules = nftablesOfThisNamespace{}
	}
	var err error
	if k.claim, err = claim(); err != nil {
		return err
	}
	if err := k.install(ctx); err != nil {
		k.claim.Close()
		return err
	}
	k.tell(true)
	return nil
}

// install is the rest of Start.
func (k *Keeper) install(ctx context.Context) error {
	denied := k.rules.install(k.Plan)
	if denied != nil && !errors.Is(denied, ErrNotPermitted) {
		return denied
	}
	k.ours = denied == nil
	err := k.rules.verify(ctx, k.Plan)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && !k.ours:
		k.logger().Info("the capture rules were installed before, and stay")
	case errors.Is(err, ErrMissing) && !k.ours:
		return ErrNotPermitted.withCause(ErrMissing)
	case err != nil && !k.ours:
		return errors.Join(denied, err)
	}
	if err != nil && k.ours {
		return errors.Join(err, k.rules.remove())
	}
	return err
}

// checkEvery is how often the rules are looked for. Whoever loads a firewall anew
// often empties all tables first.
const checkEvery = 10 * time.Second

// stillUnclear is how many looks in a row may say neither yes nor no, for lack of
// time on a busy machine, until that counts as a no.
const stillUnclear = 3

// Run looks for the rules until ctx ends, and puts them back if they are gone and
// were installed here. Then it removes those, and returns.
func (k *Keeper) Run(ctx context.Context) {
	in, unclear := true, 0
	for {
		timer := time.NewTimer(checkEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			k.stop()
			return
		}
		were := in
		err := k.rules.verify(ctx, k.Plan)
		switch {
		case err == nil, errors.Is(err, ErrMissing):
			unclear = 0
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE): // says nothing of the rules, however often
			continue
		default:
			unclear++
		}
		switch {
		case ctx.Err() != nil, unclear > 0 && unclear < stillUnclear:
		case unclear > 0:
			in = false
			if were {
				f, _ := errors.AsType[*Fault](err)
				k.reportLost(f)
			}
			if k.ours { // which does no harm to connections
				_ = k.rules.install(k.Plan) // the next look tells
			}
		case err == nil:
			in = true
			if !were {
				k.logger().Info("connections are captured again")
			}
		case k.ours:
			in = k.repair(were)
		default:
			in = false
			if were {
				k.reportLost(ErrMissing)
			}
		}
		if in != were {
			k.tell(in)
		}
	}
}

// repair puts the rules back, and reports whether they are in place.
func (k *Keeper) repair(were bool) bool {
	failed, _ := errors.AsType[*Fault](k.rules.install(k.Plan))
	switch {
	case failed == nil:
		k.logger().Warn("the capture rules were missing and have been restored")
	case were:
		k.reportLost(failed)
	}
	return failed == nil
}

// reportLost tells that connections go elsewhere.
func (k *Keeper) reportLost(f *Fault) {
	k.logger().Error("connections are not captured any more", "reason", f.Reason(), "error", f)
}

// stop takes the rules away where they are ours, and ends what Start began.
func (k *Keeper) stop() {
	if k.ours {
		if failed, ok := errors.AsType[*Fault](k.dismantle()); ok {
			k.logger().Error("the capture rules could not be removed", "reason", failed.Reason(), "error", failed)
		}
	}
	k.claim.Close()
}

// delivery bounds the wait for bytes that apps have yet to take.
const delivery = 2 * time.Second

// dismantle removes the rules. As long as the kernel has something to deliver over
// connections that came by them, it needs them to know where to: then they stay, and
// capture nothing any more.
func (k *Keeper) dismantle() error {
	if err := k.rules.release(); err != nil {
		return err
	}
	deadline := time.After(delivery)
	for k.HasUnsentData != nil && k.HasUnsentData() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			k.logger().Info("an app has not read all of its data: the nftables table stays, and captures nothing")
			return nil
		}
	}
	return k.rules.remove()
}

func (k *Keeper) tell(in bool) {
	if k.InPlace != nil {
		k.InPlace(in)
	}
}

func (k *Keeper) logger() *slog.Logger {
	if k.Logger != nil {
		return k.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// claim makes this sidecar the only one that captures in the network namespace: two
// would take the rules from one another. An abstract socket is the namespace's, as
// the rules are, and ends with the process.
func claim() (io.Closer, error) {
	ln, err := net.Listen("unix", "@hyco-sidecar-capture")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, ErrTaken
	case err != nil:
		return nil, failure(err)
	}
	return ln, nil
}

// Answer takes the canary's connections, of which nothing else is expected, until ln
// is closed.
func Answer(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors; meanwhile the kernel takes the connections
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // whoever closes ln waits so long at most
		default:
			conn.Close()
		}
	}
}

// nftablesOfThisNamespace are the rules that count.
type nftablesOfThisNamespace struct{}

func (nftablesOfThisNamespace) install(p Plan) error { return p.Install() }

func (nftablesOfThisNamespace) release() error { return Release() }

func (nftablesOfThisNamespace) remove() error { return Remove() }

func (nftablesOfThisNamespace) verify(ctx context.Context, p Plan) error { return p.Verify(ctx) }

// verifyWait bounds a connection within this machine.
const verifyWait = 2 * time.Second

// Verify connects to the canary, which works only if a sidecar is serving. The error is
// [ErrMissing] where just these lanes are not in place, and else of the network.
func (p Plan) Verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.Canary.From.String())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrMissing
	case err != nil:
		return failure(err)
	}
	conn.Close()
	return nil
}
