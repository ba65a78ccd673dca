//go:build !linux

package capture

import (
	"errors"
	"syscall"
)

var errOtherSystem = ErrUnsupported.withCause(errors.New("this is not Linux"))

// Install is for Linux.
func (p Plan) Install() error { return errOtherSystem }

// Remove is for Linux.
func Remove() error { return errOtherSystem }

// Release is for Linux.
func Release() error { return errOtherSystem }

// Exempt has nothing to do where there are no rules.
func Exempt(_, _ string, _ syscall.RawConn) error { return nil }
