package dnsproxy

import (
	"encoding/binary"
	"slices"
)

// fit returns a reply that a client with this UDP size can take: the reply
// itself, or if it is larger what truncate leaves of it.
func fit(reply []byte, size int) []byte {
	if len(reply) <= size {
		return reply
	}
	return truncate(reply, size)
}

// truncate cuts a reply to its header, with TC set (RFC 2181 section 9), its
// question and its OPT record (RFC 6891 section 7), with that record's options if
// they fit.
func truncate(reply []byte, size int) []byte {
	cut := slices.Clone(reply[:min(len(reply), headerLen)])
	if len(cut) < headerLen {
		return cut
	}
	cut[2] |= flagTC
	clear(cut[4:])
	end := headerLen
	if binary.BigEndian.Uint16(reply[4:]) == 1 {
		if e, ok := questionEnd(reply); ok {
			end = e
			cut[5] = 1
			cut = append(cut, reply[headerLen:end]...)
		}
	}
	opt, _, ok := findOPT(reply, end)
	if !ok || opt == nil {
		return cut
	}
	cut[inAdditional] = 1
	if len(cut)+len(opt) <= size {
		return append(cut, opt...)
	}
	cut = append(cut, opt[:9]...)
	return append(cut, 0, 0) // no options
}
