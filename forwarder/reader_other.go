//go:build !unix

package forwarder

import (
	"net"
	"syscall"
)

// rawConn is nil: this system has no waiting for bytes without a buffer.
func rawConn(*net.TCPConn) syscall.RawConn { return nil }

func (r *reader) readRaw() ([]byte, error) { panic("forwarder: rawConn is nil") }

func (r *reader) readNow(uintptr) bool { return true }
