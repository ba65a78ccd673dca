//go:build !linux

package kernel

import (
	"errors"
	"net/netip"
)

// AppClosed returns [errors.ErrUnsupported]: only Linux is asked.
func AppClosed(_, _, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported }
