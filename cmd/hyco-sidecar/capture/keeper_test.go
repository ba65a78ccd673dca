package capture

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// rules are a kernel's.
type rules struct {
	mu sync.Mutex
	state
}

// state is what there is to know of rules.
type state struct {
	there     bool
	denied    error // of install and remove
	trouble   error // of verify
	installed int
}

func (r *rules) install(Plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.denied != nil {
		return r.denied
	}
	r.there = true
	r.installed++
	return nil
}

func (r *rules) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}

func (r *rules) remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.denied != nil {
		return r.denied
	}
	r.there = false
	return nil
}

func (r *rules) verify(context.Context, Plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trouble == nil && !r.there {
		return ErrMissing
	}
	return r.trouble
}

// become changes the rules from outside.
func (r *rules) become(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.installed = r.installed
	r.state = s
}

// kept is a Keeper in a bubble, and what it has told.
type kept struct {
	*Keeper
	rules *rules
	stop  func()

	mu      sync.Mutex
	log     bytes.Buffer
	inPlace []bool
}

// Write is called by the logger.
func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(p)
}

func keep(t *testing.T, r *rules) *kept {
	t.Helper()
	k := &kept{rules: r}
	k.Keeper = &Keeper{
		Logger: slog.New(slog.NewTextHandler(k, nil)),
		InPlace: func(in bool) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.inPlace = append(k.inPlace, in)
		},
		rules: r,
	}
	if err := k.install(t.Context()); err != nil { // Start without the claim, which is the machine's
		t.Fatal(err)
	}
	k.claim = nothing{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		k.Run(ctx)
		close(ended)
	}()
	k.stop = func() {
		cancel()
		<-ended
	}
	return k
}

// after passes some checks.
func (k *kept) after(checks int) {
	time.Sleep(time.Duration(checks)*checkEvery + time.Second)
	synctest.Wait()
}

func (k *kept) said(text string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Count(k.log.String(), text)
}

// see compares the rules and what was told of them.
func (k *kept) see(t *testing.T, there bool, installed int, told ...bool) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rules.mu.Lock()
	defer k.rules.mu.Unlock()
	if k.rules.there != there || k.rules.installed != installed || !slices.Equal(k.inPlace, told) {
		t.Errorf("in place: %v, installed %d times, told %v; want %v, %d, %v; said %s", k.rules.there, k.rules.installed, k.inPlace, there, installed, told, &k.log)
	}
}

type nothing struct{}

func (nothing) Close() error { return nil }

func TestRulesThatAreGoneArePutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, new(rules))
		k.after(3)
		k.see(t, true, 1)
		k.rules.become(state{})
		k.after(1)
		k.see(t, true, 2)
		if k.said("have been restored") != 1 {
			t.Errorf("said %s", &k.log)
		}
		k.rules.become(state{there: true, trouble: failure(syscall.EMFILE)}) // which says nothing of the rules
		k.after(9)
		k.see(t, true, 2)
		k.rules.become(state{there: true, trouble: failure(errors.New("time is over"))}) // nor does this
		k.after(2)
		k.see(t, true, 2)
		k.after(1) // but not for ever
		k.see(t, true, 3, false)
		if k.said("not captured any more") != 1 || k.said("time is over") != 1 {
			t.Errorf("said %s", &k.log)
		}
		k.rules.become(state{there: true})
		k.after(1)
		k.see(t, true, 3, false, true)
		k.stop()
		k.see(t, false, 3, false, true)
	})
}

func TestRulesStayForUnsentData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			looks int // that see something
			there bool
		}{"nothing": {0, false}, "for a moment": {10, false}, "an app that does not read": {1 << 20, true}} {
			k := keep(t, new(rules))
			k.HasUnsentData = func() bool {
				test.looks--
				return test.looks >= 0
			}
			k.stop()
			k.see(t, test.there, 1)
			if stays := k.said("the nftables table stays") == 1; stays != test.there {
				t.Errorf("%s: said %s", name, &k.log)
			}
		}
	})
}

func TestRulesThatCannotBePutBackAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, new(rules))
		k.rules.become(state{denied: failure(errors.New("no memory"))})
		k.after(3)
		k.see(t, false, 1, false)
		if k.said("not captured any more") != 1 || k.said("no memory") == 0 {
			t.Errorf("said %s", &k.log)
		}
		k.rules.become(state{})
		k.after(2)
		k.see(t, true, 2, false, true)
		if k.said("have been restored") != 1 {
			t.Errorf("said %s", &k.log)
		}
		k.rules.become(state{there: true, denied: ErrNotPermitted})
		k.stop()
		if k.said("could not be removed") != 1 {
			t.Errorf("said %s", &k.log)
		}
	})
}

func TestOthersRulesAreTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &rules{state: state{there: true, denied: ErrNotPermitted}})
		k.rules.become(state{denied: ErrNotPermitted})
		k.after(3)
		k.see(t, false, 0, false)
		if k.said("not captured any more") != 1 || k.said("capture_missing") != 1 {
			t.Errorf("said %s", &k.log)
		}
		k.rules.become(state{there: true, denied: ErrNotPermitted})
		k.after(2)
		if k.said("captured again") != 1 {
			t.Errorf("said %s", &k.log)
		}
		k.stop()
		k.see(t, true, 0, false, true)
		if k.said("could not be removed") != 0 {
			t.Errorf("said %s", &k.log)
		}
	})
}

func TestAStartThatFailsSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		rules state
		want  error
	}{
		"no right and no rules":     {state{denied: ErrNotPermitted}, ErrNotPermitted},
		"no support":                {state{denied: ErrUnsupported.withCause(errors.New("ENOENT"))}, ErrUnsupported},
		"rules that have no effect": {state{trouble: ErrMissing}, ErrMissing},
	} {
		r := &rules{state: test.rules}
		k := &Keeper{rules: r}
		if err := k.install(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if r.there {
			t.Errorf("%s: rules were left behind", name)
		}
	}
}
