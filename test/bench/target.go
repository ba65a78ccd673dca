package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

// The first byte of a connection to the target chooses what the target does,
// and comes back: with it the app knows that the whole way is open.
const (
	opEcho   = 'e' // sends back what comes
	opSource = 'd' // takes a start and a length (8 bytes each), sends as much of the payload from there and its CRC-32C (4 bytes), and ends
	opSink   = 'u' // takes a length and as much, answers with the length and the CRC-32C of what came
	opSilent = 's' // neither reads nor sends any more for a minute, and ends
)

// silence outlasts every measurement of opSilent. A connection that nobody reads
// does not tell that it is broken, so it takes a time to give them up.
const silence = time.Minute

// playTarget is the private server behind everything.
func playTarget([]string) error {
	ln, err := openPort()
	if err != nil {
		return err
	}
	listening(ln)
	t := &target{payload: newPayload()}
	return acceptAll(ln, func(conn *net.TCPConn) {
		// Apps come and go as they like; what they miss they notice themselves.
		_ = t.serve(conn)
	})
}

type target struct{ payload *payload }

func (t *target) serve(conn *net.TCPConn) error {
	var op [1]byte
	if _, err := io.ReadFull(conn, op[:]); err != nil {
		return err
	}
	if _, err := conn.Write(op[:]); err != nil {
		return err
	}
	switch op[0] {
	case opEcho:
		_, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 16<<10))
		return err
	case opSource:
		return t.source(conn)
	case opSink:
		return t.sink(conn)
	case opSilent:
		time.Sleep(silence)
		return nil
	}
	return fmt.Errorf("no such service: %q", op)
}

func (t *target) source(conn net.Conn) error {
	start, err := readLength(conn)
	if err != nil {
		return err
	}
	n, err := readLength(conn)
	if err != nil {
		return err
	}
	sum, err := t.payload.send(conn, start%payloadSize, n)
	if err != nil {
		return err
	}
	_, err = conn.Write(appendSum(nil, sum))
	return err
}

func (t *target) sink(conn net.Conn) error {
	n, err := readLength(conn)
	if err != nil {
		return err
	}
	sum, err := receive(conn, n, make([]byte, readSize))
	if err != nil {
		return err
	}
	_, err = conn.Write(appendSum(appendLength(nil, n), sum))
	return err
}
