package program

import "syscall"

// Tied makes a process end with the one that started it, whatever ends that one.
func Tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
