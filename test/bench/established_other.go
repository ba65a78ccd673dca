//go:build !linux

package main

import "net"

// established takes every connection for one: this system is not asked.
func established(*net.TCPConn) bool { return true }
