//go:build linux

package role

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// playDNS is the site's DNS server, over UDP and TCP: an A record for each
// NAME=ADDRESS, NODATA for their other types, NXDOMAIN for everything else.
// It prints "asked NAME" for every question.
// Messages are made by hand (RFC 1035 §4), so that no library's view of DNS is
// on both sides of dnsproxy.
func playDNS(address string, records []string) error {
	table := make(map[string][4]byte, len(records))
	for _, record := range records {
		name, text, _ := strings.Cut(record, "=")
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		table[name] = addr.As4()
	}
	pc, err := net.ListenPacket("udp4", address)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	listening(ln)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serveDNSStream(conn, table)
		}
	}()
	query := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(query)
		if err != nil {
			return err
		}
		reply, err := dnsReply(query[:n], table)
		if err != nil {
			continue
		}
		if _, err := pc.WriteTo(reply, from); err != nil {
			return err
		}
	}
}

// serveDNSStream answers length-prefixed messages (RFC 1035 §4.2.2).
func serveDNSStream(conn net.Conn, table map[string][4]byte) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply, err := dnsReply(query, table)
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func dnsReply(query []byte, table map[string][4]byte) ([]byte, error) {
	const header = 12
	if len(query) < header || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil, fmt.Errorf("not one question")
	}
	var labels []string
	end := header
	for {
		if end >= len(query) {
			return nil, io.ErrUnexpectedEOF
		}
		n := int(query[end])
		end++
		if n == 0 {
			break
		}
		if n > 63 || end+n > len(query) {
			return nil, io.ErrUnexpectedEOF
		}
		labels = append(labels, string(query[end:end+n]))
		end += n
	}
	if end+4 > len(query) {
		return nil, io.ErrUnexpectedEOF
	}
	qtype := binary.BigEndian.Uint16(query[end:])
	end += 4

	const (
		typeA      = 1
		nxdomain   = 3
		headerBits = 0x8080 // QR and RA
	)
	fmt.Println("asked", strings.Join(labels, "."))
	addr, known := table[strings.ToLower(strings.Join(labels, "."))]
	flags, answers := uint16(headerBits)|binary.BigEndian.Uint16(query[2:])&0x0100, uint16(0)
	switch {
	case !known:
		flags |= nxdomain
	case qtype == typeA:
		answers = 1
	}
	reply := append([]byte(nil), query[:2]...)
	for _, word := range []uint16{flags, 1, answers, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, word)
	}
	reply = append(reply, query[header:end]...)
	if answers == 1 {
		// The name as a pointer to the question, A, IN, TTL 1 s, 4 bytes.
		reply = append(reply, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 1, 0, 4)
		reply = append(reply, addr[:]...)
	}
	return reply, nil
}
