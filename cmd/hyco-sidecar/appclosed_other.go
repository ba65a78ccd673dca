//go:build !linux

package main

import (
	"errors"
	"net/netip"
)

// appClosed cannot be told here; HYCO_LINGER decides.
func appClosed(_, _, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported }
