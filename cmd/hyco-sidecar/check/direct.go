package check

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Ask asks Server itself for host's IPv4 addresses and for who answers, both at
// once. No hosts file comes into it, as it does with [Names.Resolve].
func (n Names) Ask(ctx context.Context, host string) Named {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var addrs []netip.Addr
	var err error
	var asking sync.WaitGroup
	asking.Go(guarded(n.Guard, func() { addrs, err = n.ask(ctx, host) }))
	named := n.Who(ctx)
	asking.Wait()
	named.Addrs, named.AddrErr = addrs, err
	return named
}

// ask sends one question of type A over UDP and reads what is answered.
func (n Names) ask(ctx context.Context, host string) ([]netip.Addr, error) {
	name, err := dnsmessage.NewName(host + ".")
	if err != nil {
		return nil, err
	}
	question := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packed, err := question.Pack()
	if err != nil {
		return nil, err
	}

	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", n.Server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, guarded(n.Guard, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })) // fails on a closed connection alone
	defer stop()
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buf := make([]byte, 512) // as much as is answered without EDNS, RFC 1035 §4.2.1
	size, err := conn.Read(buf)
	if err != nil {
		return nil, err
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(buf[:size]); err != nil {
		return nil, err
	}
	if answer.ID != question.ID {
		return nil, errors.New("an answer to another question")
	}
	var addrs []netip.Addr
	for _, r := range answer.Answers {
		if a, ok := r.Body.(*dnsmessage.AResource); ok {
			addrs = append(addrs, netip.AddrFrom4(a.A))
		}
	}
	return addrs, nil
}
