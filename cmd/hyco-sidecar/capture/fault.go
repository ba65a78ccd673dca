package capture

import "fmt"

// Fault is why connections cannot be captured, or are not.
type Fault struct {
	reason string
	text   string
	next   string
	err    error
}

// Error implements error.
func (f *Fault) Error() string {
	if f.err != nil {
		return fmt.Sprintf("%s: %v", f.text, f.err)
	}
	return f.text
}

// Unwrap returns the kernel's error, if there is one.
func (f *Fault) Unwrap() error { return f.err }

// Reason is a label, by which the documentation is indexed.
func (f *Fault) Reason() string { return f.reason }

// Next says what to do.
func (f *Fault) Next() string { return f.next }

// Is makes faults with the same label the same.
func (f *Fault) Is(target error) bool {
	other, ok := target.(*Fault)
	return ok && other.reason == f.reason
}

// The faults.
var (
	// ErrNotPermitted is that of a process that may not touch the rules.
	ErrNotPermitted = &Fault{
		reason: "capture_not_permitted",
		text:   "this process lacks the capability NET_ADMIN, without which no rules can be installed, and rules for just these endpoints are not there",
		next: "add NET_ADMIN to the container's capabilities and run it as root, for another user does not get it; " +
			"or have an init container that has both run `hyco-sidecar capture install` with the same settings, and recreate the pod where they have changed since",
	}
	// ErrUnsupported is that of a kernel without what the rules need.
	ErrUnsupported = &Fault{
		reason: "capture_unsupported",
		text:   "the kernel cannot do it: it takes nftables with NAT, Linux 5.2 or newer",
		next:   "leave HYCO_CAPTURE out; or on the node, load the modules nf_tables and nft_nat",
	}
	// ErrMissing means that connections are not led anywhere.
	ErrMissing = &Fault{
		reason: "capture_missing",
		text:   "the rules are not in place, or are those of other settings",
		next:   "run `hyco-sidecar capture install` with NET_ADMIN and the settings of the sidecar, in its network namespace",
	}
	// ErrTaken is that of a second sidecar in a network namespace.
	ErrTaken = &Fault{
		reason: "capture_taken",
		text:   "another hyco-sidecar captures connections in this network namespace",
		next:   "stop it: one sidecar can have all the endpoints; or leave HYCO_CAPTURE out here",
	}
)

// because is f with what the kernel said.
func (f *Fault) because(err error) *Fault {
	detailed := *f
	detailed.err = err
	return &detailed
}

// failure is an error that has no fault of its own.
func failure(err error) *Fault {
	return &Fault{
		reason: "capture_failed",
		text:   "the kernel does not do what capturing takes",
		next:   "see whether `nft list ruleset` works as root in the same network namespace, and what the kernel's log says",
		err:    err,
	}
}
