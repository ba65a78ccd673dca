//go:build !unix

package forwarder

import (
	"errors"
	"net"
	"syscall"
)

// rawConn is nil: this system has no waiting for bytes without a buffer.
func rawConn(*net.TCPConn) syscall.RawConn { return nil }

func (r *reader) readRaw() ([]byte, error) { return nil, errors.ErrUnsupported }

func (r *reader) readNow(uintptr) bool { return true }

func (r *reader) disconnected() bool { return false }

func (r *reader) peek() (ended, wasReset bool) { return false, false }
