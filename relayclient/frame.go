package relayclient

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// WebSocket opcodes, RFC 6455 §11.8.
const (
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

const (
	finBit  = 0x80
	maskBit = 0x80

	// maxHeader is two bytes, an eight byte length and a four byte mask.
	maxHeader = 14
	// maxControlPayload is RFC 6455 §5.5's limit.
	maxControlPayload = 125
)

// appendFrame appends one final, masked frame to dst. A client masks every
// frame with a fresh, unpredictable key (RFC 6455 §5.3).
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, maskBit|byte(n))
	case n <= 0xffff:
		dst = append(dst, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, maskBit|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	var pad [512]byte // the key over and over: subtle.XORBytes is vectorised
	rand.Read(pad[:4])
	for n := 4; n < len(pad); n *= 2 {
		copy(pad[n:], pad[:n])
	}
	dst = append(dst, pad[:4]...)
	start := len(dst)
	dst = append(dst, payload...)
	for masked := dst[start:]; len(masked) > 0; {
		masked = masked[subtle.XORBytes(masked, masked, pad[:]):]
	}
	return dst
}

// closePayload is the body of a Close frame, RFC 6455 §5.5.1.
func closePayload(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

var (
	errMasked      = errors.New("the relay sent a masked frame")
	errFrameLength = errors.New("the relay sent a frame with an impossible length")
	errBadClose    = errors.New("the relay sent a malformed Close frame")
)

// scanner follows inbound frames, cut anywhere by the reads that deliver them,
// so that a Close frame is noticed before its first byte is passed on. It
// judges only what it needs in order to follow; the rest is the library's.
type scanner struct {
	payload uint64 // bytes of the current frame still to come
	header  [maxHeader]byte
	have    int // bytes of header collected
}

// next consumes p up to the first byte of a Close frame and returns how many
// bytes that is; len(p) means that no Close frame begins in p.
func (s *scanner) next(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if s.payload > 0 {
			skip := min(s.payload, uint64(len(p)-i))
			s.payload -= skip
			i += int(skip)
			continue
		}
		if s.have == 0 && p[i]&0x0f == opClose {
			return i, nil
		}
		s.header[s.have] = p[i]
		s.have++
		i++
		length, complete, err := headerLength(s.header[:s.have])
		if err != nil {
			return i, err
		}
		if complete {
			s.payload, s.have = length, 0
		}
	}
	return len(p), nil
}

// headerLength returns the payload length that a server's frame header
// announces, once header holds all of it.
func headerLength(header []byte) (length uint64, complete bool, err error) {
	if len(header) < 2 {
		return 0, false, nil
	}
	if header[1]&maskBit != 0 {
		return 0, false, errMasked
	}
	switch n := header[1]; {
	case n < 126:
		return uint64(n), true, nil
	case n == 126:
		if len(header) < 4 {
			return 0, false, nil
		}
		return uint64(binary.BigEndian.Uint16(header[2:])), true, nil
	default:
		if len(header) < 10 {
			return 0, false, nil
		}
		length = binary.BigEndian.Uint64(header[2:])
		if length>>63 != 0 {
			return 0, false, errFrameLength
		}
		return length, true, nil
	}
}
