//go:build !linux

package main

import "syscall"

// apart has no counterpart here: the processes share one network.
func apart() *syscall.SysProcAttr { return nil }
