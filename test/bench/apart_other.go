//go:build !linux

package main

import (
	"errors"
	"syscall"
)

func apart() (*syscall.SysProcAttr, error) {
	return nil, errors.New("network namespaces take Linux")
}
