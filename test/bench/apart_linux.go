package main

import "syscall"

// apart gives a process a network namespace of its own, and ends it with its parent.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
}
