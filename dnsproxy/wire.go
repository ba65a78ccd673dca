package dnsproxy

import (
	"encoding/binary"
	"io"
	"net"
)

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
