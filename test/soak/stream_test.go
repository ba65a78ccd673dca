package soak_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
)

// The two directions of a connection.
const (
	toTarget byte = 'u'
	toApp    byte = 'd'
)

// content is what a connection carries in one direction, without an end. It is
// random, so that no byte is right by chance, and each connection and direction
// has its own, which both ends can make.
func content(seed uint64, number int, direction byte) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[0:], seed)
	binary.BigEndian.PutUint64(key[8:], uint64(number))
	key[16] = direction
	return rand.NewChaCha8(key)
}

// firstWrong compares got with what want yields next and returns the index of
// the first byte that differs, or -1. It works in scratch, which is as long.
func firstWrong(got []byte, want io.Reader, scratch []byte) int {
	scratch = scratch[:len(got)]
	_, _ = io.ReadFull(want, scratch) // content never ends
	if bytes.Equal(got, scratch) {
		return -1
	}
	i := 0
	for got[i] == scratch[i] {
		i++
	}
	return i
}
