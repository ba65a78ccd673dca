package program

import "syscall"

// tied makes a process end with the one that started it, whatever ends that.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
