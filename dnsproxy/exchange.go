package dnsproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// exchange has q answered by one upstream over a TCP connection of its own. The
// reply has q's id and is otherwise as it came. What does not answer q is ignored
// (RFC 5452 section 9.1).
func (p *pool) exchange(ctx context.Context, u *upstream, q *query) ([]byte, error) {
	conn, err := p.dial(ctx, "tcp", u.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		defer p.panicked.raise()
		conn.SetDeadline(time.Unix(1, 0))
	})
	defer stop()

	msg := slices.Clone(q.raw)
	rand.Read(msg[:2]) // a fresh id; never fails
	if err := writeMessage(conn, msg); err != nil {
		return nil, err
	}
	for {
		reply, err := readMessage(conn)
		if err != nil {
			return nil, fmt.Errorf("waiting for a reply over tcp: %w", err)
		}
		if answers(reply, binary.BigEndian.Uint16(msg), q.question) {
			binary.BigEndian.PutUint16(reply, q.id())
			return reply, nil
		}
	}
}

// answers reports whether reply is the response to a message with this id and
// question. Servers that do not understand a query may leave the question out
// of the error.
func answers(reply []byte, id uint16, question []byte) bool {
	if len(reply) < headerLen || binary.BigEndian.Uint16(reply) != id ||
		reply[2]&flagQR == 0 || reply[2]>>3&0xF != dns.OpcodeQuery {
		return false
	}
	switch binary.BigEndian.Uint16(reply[4:]) {
	case 0:
		switch rcodeOf(reply) {
		case dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
			return true
		}
		return false
	case 1:
		end, ok := questionEnd(reply)
		return ok && sameQuestion(reply[headerLen:end], question)
	default:
		return false
	}
}

// sameQuestion compares two questions. Some servers do not keep the case of
// the name; whether that matters is for the client to judge.
func sameQuestion(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	name := len(a) - 4
	for i := range name { // a label's length is below 64 and so not a letter
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return bytes.Equal(a[name:], b[name:])
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// rcodeOf returns the code in a message's header, without EDNS's upper bits.
func rcodeOf(msg []byte) Rcode { return Rcode(msg[3] & 0xF) }

// writeMessage writes one message with its length before it, as on TCP (RFC
// 1035 section 4.2.2), in one piece (RFC 7766 section 8).
func writeMessage(conn net.Conn, msg []byte) error {
	framed := make([]byte, 2, 2+len(msg))
	binary.BigEndian.PutUint16(framed, uint16(len(msg)))
	_, err := conn.Write(append(framed, msg...))
	return err
}

// readMessage reads one message with its length before it, of 64 KiB at most.
func readMessage(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, msg); err != nil {
		return nil, err
	}
	return msg, nil
}

// fit returns a reply that a client with this UDP size can take: the reply
// itself, or if it is larger what truncate leaves of it.
func fit(reply []byte, size int) []byte {
	if len(reply) <= size {
		return reply
	}
	return truncate(reply, size)
}

// truncate cuts a reply to its header, with TC set, its question and its OPT
// record (RFC 6891 section 7), with that record's options if they fit.
func truncate(reply []byte, size int) []byte {
	cut := slices.Clone(reply[:min(len(reply), headerLen)])
	if len(cut) < headerLen {
		return cut
	}
	cut[2] |= flagTC
	clear(cut[4:])
	end := headerLen
	if binary.BigEndian.Uint16(reply[4:]) == 1 {
		if e, ok := questionEnd(reply); ok {
			end = e
			cut[5] = 1
			cut = append(cut, reply[headerLen:end]...)
		}
	}
	opt, _, ok := findOPT(reply, end)
	if !ok || opt == nil {
		return cut
	}
	cut[11] = 1
	if len(cut)+len(opt) <= size {
		return append(cut, opt...)
	}
	cut = append(cut, opt[:9]...)
	return append(cut, 0, 0) // no options
}
