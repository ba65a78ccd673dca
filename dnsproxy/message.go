package dnsproxy

import (
	"encoding/binary"
	"iter"

	"github.com/miekg/dns"
)

const (
	headerLen = 12  // RFC 1035 section 4.1.1
	optLen    = 11  // RFC 6891 section 6.1.2: an OPT record without options
	minUDP    = 512 // RFC 1035 section 4.2.1: what a client without EDNS takes

	flagQR = 1 << 7 // in the header's third byte
	flagAA = 1 << 2 // in the header's third byte
	flagTC = 1 << 1 // in the header's third byte
	flagRD = 1 << 0 // in the header's third byte
	flagAD = 1 << 5 // in the header's fourth byte
	flagCD = 1 << 4 // in the header's fourth byte
	flagDO = 1 << 7 // in the seventh byte of an OPT's record head (RFC 3225 section 3)
)

// The lower byte of where a header counts the records of a section (RFC 1035
// section 4.1.1).
const (
	inAnswer     = 7
	inAuthority  = 9
	inAdditional = 11
)

// rcodeOf returns the code in a message's header, without EDNS's upper bits.
func rcodeOf(msg []byte) Rcode { return Rcode(msg[3] & 0xF) }

// questionEnd returns where the question of a message with one question ends.
// Its name must be written out: there is nothing before it to point to.
func questionEnd(msg []byte) (end int, ok bool) {
	end, pointer, ok := skipName(msg, headerLen)
	if !ok || pointer || end+4 > len(msg) || end-headerLen > 255 { // RFC 1035 section 2.3.4
		return 0, false
	}
	return end + 4, true
}

// skipName returns where the name at off ends, without following a
// compression pointer (RFC 1035 section 4.1.4).
func skipName(msg []byte, off int) (end int, pointer, ok bool) {
	for off < len(msg) {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1, false, true
		case c < 64:
			off += 1 + c
		case c >= 0xC0:
			return off + 2, true, off+2 <= len(msg)
		default: // 0x40 and 0x80 are reserved
			return 0, false, false
		}
	}
	return 0, false, false
}

// A rawRecord is a record in a message, read as far as is needed to step over it.
type rawRecord struct {
	rrtype uint16
	ttl    uint32
	ttlAt  int    // offset in the message
	whole  []byte // name and rdata included
	rdata  []byte // of whole
}

// recordsOf yields the records of a message from off on, where its question
// ends, each with its section, such as inAnswer. A nil record means that the
// message is broken there, and ends it. The record is overwritten by the next.
func recordsOf(msg []byte, off int) iter.Seq2[*rawRecord, int] {
	return func(yield func(*rawRecord, int) bool) {
		var r rawRecord
		for section := inAnswer; section <= inAdditional; section += 2 {
			for range binary.BigEndian.Uint16(msg[section-1:]) {
				start := off
				end, _, ok := skipName(msg, off)
				if !ok || end+10 > len(msg) {
					yield(nil, section)
					return
				}
				off = end + 10 + int(binary.BigEndian.Uint16(msg[end+8:]))
				if off > len(msg) {
					yield(nil, section)
					return
				}
				r = rawRecord{
					rrtype: binary.BigEndian.Uint16(msg[end:]),
					ttl:    binary.BigEndian.Uint32(msg[end+4:]),
					ttlAt:  end + 4,
					whole:  msg[start:off],
					rdata:  msg[end+10 : off],
				}
				if !yield(&r, section) {
					return
				}
			}
		}
	}
}

// findOPT steps over the records of msg from off on, and returns the last OPT
// record and how many there are; ok is false if the records do not fit into
// the message or an OPT is not owned by the root.
func findOPT(msg []byte, off int) (opt []byte, count int, ok bool) {
	for rr := range recordsOf(msg, off) {
		if rr == nil {
			return nil, 0, false
		}
		if rr.rrtype == dns.TypeOPT {
			if rr.whole[0] != 0 {
				return nil, 0, false
			}
			opt = rr.whole
			count++
		}
	}
	return opt, count, true
}
