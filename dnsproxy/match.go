package dnsproxy

import (
	"bytes"
	"encoding/binary"

	"github.com/miekg/dns"
)

// answers reports whether reply is the response to a message with this id and
// question (RFC 5452 section 9.1). Servers that do not understand a query may
// leave the question out of the error.
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

// lower returns an ASCII letter in lower case and any other byte as it is (RFC
// 4343 section 3).
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
