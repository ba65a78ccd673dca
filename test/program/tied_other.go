//go:build !linux

package program

import "syscall"

func tied() *syscall.SysProcAttr { return nil }
