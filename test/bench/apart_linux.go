package main

import "syscall"

// apart puts a child process into a new network namespace, and ends it with this one.
func apart() (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}, nil
}
