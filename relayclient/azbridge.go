package relayclient

import (
	"fmt"
	"io"
)

// Azbridge opens a tunnel to an azbridge that forwards with -T (docs/relay-protocol.md §7.1).
// PortName is the name of the port there, of 1 to 255 bytes. The listener answers
// before it dials its target.
func Azbridge(portName string) Opening { return azbridge{portName} }

type azbridge struct{ port string }

// What [DialError.Reason] says of azbridge's refusals.
const (
	reasonAzbridgePortName     = "azbridge_port_name"
	reasonAzbridgeVersion      = "azbridge_version"
	reasonAzbridgeDatagramOnly = "azbridge_datagram_only"
	reasonAzbridgeStreamOnly   = "azbridge_stream_only"
)

// The first bytes of azbridge's messages, version 1.0, and the mode that we ask
// for: a stream.
var azbridgeHead = [3]byte{1, 0, 0}

func (a azbridge) open(c *Conn, _ string) (opened, error) {
	// Two messages: the reference client reads the name as a message of its own.
	for _, message := range [][]byte{append(azbridgeHead[:], byte(len(a.port))), []byte(a.port)} {
		if _, err := c.Write(message); err != nil {
			return opened{}, err
		}
	}
	var answer [3]byte
	n, err := io.ReadFull(c, answer[:])
	switch {
	case n == 0 && ended(err):
		return opened{}, &openingError{reason: reasonAzbridgePortName, text: fmt.Sprintf("azbridge has no port %q on this hybrid connection", a.port)}
	case ended(err):
		return opened{}, notUnderstood("azbridge")
	case err != nil:
		return opened{}, err
	}
	switch answer {
	case azbridgeHead:
		return opened{}, nil
	case [3]byte{0, 0, 0}:
		return opened{}, &openingError{reason: reasonAzbridgeVersion, text: "azbridge does not know version 1.0 of its preamble"}
	case [3]byte{0, 0, 1}:
		return opened{}, &openingError{reason: reasonAzbridgeDatagramOnly, text: fmt.Sprintf("azbridge's port %q forwards datagrams (UDP)", a.port)}
	case [3]byte{0, 0, 0xff}:
		return opened{}, &openingError{
			reason: reasonAzbridgeStreamOnly,
			text:   fmt.Sprintf("azbridge says that its port %q forwards no datagrams, which it was not asked for", a.port),
		}
	}
	return opened{}, notUnderstood("azbridge")
}
