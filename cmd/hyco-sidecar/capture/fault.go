package capture

import "fmt"

// Fault is why connections cannot be captured, or are not.
type Fault struct {
	reason string
	text   string
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
		text:   "this process may not change the capture rules, which takes the capability NET_ADMIN",
	}
	// ErrUnsupported is that of a kernel without what the rules need.
	ErrUnsupported = &Fault{
		reason: "capture_unsupported",
		text:   "the kernel lacks nftables with NAT: Linux 5.2 or newer has it",
	}
	// ErrMissing means that connections are not led anywhere.
	ErrMissing = &Fault{
		reason: "capture_missing",
		text:   "the capture rules are not in place, or are those of other settings",
	}
	// ErrTaken is that of a second sidecar in a network namespace.
	ErrTaken = &Fault{
		reason: "capture_taken",
		text:   "another hyco-sidecar captures connections in this network namespace",
	}
)

// withCause is f with what the kernel said.
func (f *Fault) withCause(err error) *Fault {
	detailed := *f
	detailed.err = err
	return &detailed
}

// failure is an error that has no fault of its own.
func failure(err error) *Fault {
	return &Fault{
		reason: "capture_failed",
		text:   "an operation that capture needs failed",
		err:    err,
	}
}
