package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/ipv4"
)

// The upstream is to be no bottleneck, so it takes and sends as many messages at
// a time as there are.
const batch = 64

// upstreamTTL outlasts the rounds of a workload, in seconds.
const upstreamTTL = 300

const listeningText = "listening "

// serveUpstream answers every question for an A record, over UDP. It prints
// "listening ADDRESS" when it can be asked.
func serveUpstream() error {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(1 << 20) // as far as the kernel gives it
	fmt.Println(listeningText + conn.LocalAddr().String())

	pc := ipv4.NewPacketConn(conn)
	in, out := make([]ipv4.Message, batch), make([]ipv4.Message, 0, batch)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, 1500)}
	}
	for {
		n, err := pc.ReadBatch(in, 0)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, m := range in[:n] {
			if reply := upstreamReply(m.Buffers[0][:m.N]); reply != nil {
				out = append(out, ipv4.Message{Buffers: [][]byte{reply}, Addr: m.Addr})
			}
		}
		for left := out; len(left) > 0; {
			n, err := pc.WriteBatch(left, 0)
			if err != nil {
				return err
			}
			left = left[n:]
		}
	}
}

// upstreamReply makes a reply of query (RFC 1035 section 4.1), partly in its
// place: [addressOf] for a question of type A, no data for any other, and nil
// for what is no query.
func upstreamReply(query []byte) []byte {
	const header = 12
	if len(query) < header || query[2]&0x80 != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	end := header
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	end++ // the root
	if end+4 > len(query) {
		return nil
	}
	name, isA := query[header:end], binary.BigEndian.Uint16(query[end:]) == 1
	reply := query[:end+4]
	reply[2] = 0x80 | query[2]&0x01 // QR, and RD as it was
	reply[3] = 0x80                 // RA, NOERROR
	clear(reply[6:header])
	if !isA {
		return reply
	}
	reply[7] = 1 // ANCOUNT
	address := hashed(name).As4()
	reply = append(reply, 0xC0, header, 0, 1, 0, 1) // the same name, type A, class IN
	reply = binary.BigEndian.AppendUint32(reply, upstreamTTL)
	reply = append(reply, 0, 4)
	return append(reply, address[:]...)
}

// addressOf is what the upstream says that name has.
func addressOf(name string) netip.Addr {
	var wire []byte
	for label := range strings.SplitSeq(name, ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return hashed(append(wire, 0))
}

// hashed is an address of 10.0.0.0/8 for a name in the form of a message.
func hashed(name []byte) netip.Addr {
	h := fnv.New32a()
	h.Write(name)
	sum := h.Sum32()
	return netip.AddrFrom4([4]byte{10, byte(sum >> 16), byte(sum >> 8), byte(sum)})
}
