package check

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Ask asks Server itself for host's IPv4 addresses and for who answers, both at
// once. No hosts file comes into it, as it does with [Names.Resolve].
func (n Names) Ask(ctx context.Context, host string) Named {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var addrs []netip.Addr
	var err error
	var asking sync.WaitGroup
	asking.Go(func() { addrs, err = ask(ctx, n.Server, host) })
	named := n.Who(ctx)
	asking.Wait()
	named.Addrs, named.AddrErr = addrs, err
	return named
}

// header of a DNS message, RFC 1035 §4.1.1: an id, recursion desired, one question.
var header = [...]byte{0x68, 0x63, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}

var errAnswer = errors.New("an answer that makes no sense")

// ask sends one question of type A over UDP and reads what is answered.
func ask(ctx context.Context, server netip.AddrPort, host string) ([]netip.Addr, error) {
	question := header[:]
	for label := range strings.SplitSeq(host, ".") {
		if len(label) == 0 || len(label) > 63 {
			return nil, errors.New("no name of DNS")
		}
		question = append(append(question, byte(len(label))), label...)
	}
	question = append(question, 0, 0, 1, 0, 1) // the root, A, IN

	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed connection alone
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // likewise
	defer stop()
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 512)
	size, err := conn.Read(answer)
	if err != nil {
		return nil, err
	}
	return addresses(answer[:size], len(question))
}

// addresses are those of the A records in a message whose answers begin at.
func addresses(message []byte, at int) (addrs []netip.Addr, err error) {
	if len(message) < at || message[0] != header[0] || message[1] != header[1] {
		return nil, errAnswer
	}
	for range binary.BigEndian.Uint16(message[6:]) {
		for at < len(message) && message[at] != 0 && message[at] < 0xc0 {
			at += 1 + int(message[at])
		}
		if at++; at <= len(message) && message[at-1] >= 0xc0 { // a pointer is two bytes, §4.1.4
			at++
		}
		const fixed = 10 // type, class, TTL, length
		if len(message) < at+fixed {
			return nil, errAnswer
		}
		kind, size := binary.BigEndian.Uint16(message[at:]), int(binary.BigEndian.Uint16(message[at+8:]))
		if at += fixed; len(message) < at+size {
			return nil, errAnswer
		}
		if addr, ok := netip.AddrFromSlice(message[at : at+size]); ok && kind == 1 {
			addrs = append(addrs, addr)
		}
		at += size
	}
	return addrs, nil
}
