//go:build !linux

package program

import "syscall"

// Tied has no counterpart here: nil.
func Tied() *syscall.SysProcAttr { return nil }
