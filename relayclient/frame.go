package relayclient

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"
)

// WebSocket opcodes, RFC 6455 §11.8.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

const (
	finBit      = 0x80
	reservedBit = 0x70
	opcodeBits  = 0x0f
	maskBit     = 0x80

	// maxControlPayload is RFC 6455 §5.5's limit.
	maxControlPayload = 125
)

// Close codes that mean a complete stream, RFC 6455 §7.4.1.
const (
	closeNormal    = 1000
	closeGoingAway = 1001
	closeNoStatus  = 1005 // a Close frame without a code, RFC 6455 §7.1.5
)

var (
	errMasked      = errors.New("the relay sent a masked frame")
	errFrameLength = errors.New("the relay sent a frame with an impossible length")
	errReserved    = errors.New("the relay sent a frame with reserved bits or a reserved opcode")
	errBadControl  = errors.New("the relay sent a control frame that is fragmented or too long")
	errBadClose    = errors.New("the relay sent a malformed Close frame")
	errBadOrder    = errors.New("the relay mixed up the fragments of messages")
)

// mask is a frame's masking key repeated, which XORBytes takes in strides of a vector.
type mask [512]byte

// draw chooses a key: a client masks every frame with a fresh, unpredictable
// one (RFC 6455 §5.3).
func (m *mask) draw() {
	rand.Read(m[:4])
	for n := 4; n < len(m); n *= 2 {
		copy(m[n:], m[:n])
	}
}

// appendMasked appends data masked, beginning at the key's first byte.
func (m *mask) appendMasked(dst, data []byte) []byte {
	end := len(dst) + len(data)
	dst = slices.Grow(dst, len(data))
	for masked := dst[len(dst):end]; len(data) > 0; {
		n := subtle.XORBytes(masked, data, m[:])
		masked, data = masked[n:], data[n:]
	}
	return dst[:end]
}

// appendHeader appends the header of a final frame of up to 64 KiB less one
// byte that is masked with m.
func appendHeader(dst []byte, opcode byte, length int, m *mask) []byte {
	dst = append(dst, finBit|opcode)
	if length < 126 {
		dst = append(dst, maskBit|byte(length))
	} else {
		dst = append(dst, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	}
	return append(dst, m[:4]...)
}

// controlFrame is a whole masked control frame.
func controlFrame(opcode byte, payload []byte) []byte {
	var m mask
	m.draw()
	return m.appendMasked(appendHeader(nil, opcode, len(payload), &m), payload)
}

// closePayload is the payload of a Close frame, RFC 6455 §5.5.1.
func closePayload(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

// parseClose is what a Close frame's payload says. Codes that are never on the
// wire (RFC 6455 §7.4) are an error.
func parseClose(payload []byte) (*CloseError, error) {
	switch len(payload) {
	case 0:
		return &CloseError{Code: closeNoStatus}, nil
	case 1:
		return nil, errBadClose
	}
	code := binary.BigEndian.Uint16(payload)
	if code < 1000 || code >= 5000 || code == closeNoStatus || code == 1006 || code == 1015 {
		return nil, errBadClose
	}
	return &CloseError{Code: code, Reason: sanitize(string(payload[2:]))}, nil
}

// headSize is how many bytes the head of a server's frame has: its header, and of a
// control frame the payload as well. Start is what has been read of the head. A result
// longer than start may grow once that much has been read; it is never shorter.
func headSize(start []byte) (int, error) {
	if len(start) < 2 {
		return 2, nil
	}
	length := start[1] &^ maskBit
	switch {
	case start[1]&maskBit != 0:
		return 0, errMasked
	case start[0]&reservedBit != 0:
		return 0, errReserved
	}
	switch start[0] & opcodeBits {
	case opContinuation, opText, opBinary:
		switch length {
		case 126:
			return 4, nil
		case 127:
			return 10, nil
		}
		return 2, nil
	case opClose, opPing, opPong:
		if start[0]&finBit == 0 || length > maxControlPayload {
			return 0, errBadControl
		}
		return 2 + int(length), nil
	}
	return 0, errReserved
}

// payloadSize is the length that a data frame's whole header announces.
func payloadSize(header []byte) (uint64, error) {
	switch len(header) {
	case 2:
		return uint64(header[1]), nil
	case 4:
		return uint64(binary.BigEndian.Uint16(header[2:])), nil
	}
	length := binary.BigEndian.Uint64(header[2:])
	if length>>63 != 0 {
		return 0, errFrameLength
	}
	return length, nil
}
