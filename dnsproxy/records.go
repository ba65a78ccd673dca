package dnsproxy

import (
	"encoding/binary"
	"iter"
)

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
