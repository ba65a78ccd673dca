package relayclient

import (
	"encoding/json"
	"fmt"
)

// Aztunnel opens a tunnel to an aztunnel listener (docs/relay-protocol.md §7.3), which dials
// target, host:port, if its list of targets allows that, and answers then.
//
// That listener ends both directions at the first Close. So the Conn keeps ours
// back until the far side has ended: the answer is complete, but a target does
// not learn that the app has ended its stream. When its target ends first, that listener
// may end TLS without a Close (docs/relay-protocol.md §11), which is no proof that the
// stream is complete, and is [ErrDropped].
func Aztunnel(target string) Opening { return aztunnel{target} }

type aztunnel struct{ target string }

// aztunnelMessage is what that listener takes in one message: it ends the tunnel at one of
// more than 32,768 bytes. Two TLS records carry it with its header.
const aztunnelMessage = 2*recordSize - 8

// maxEnvelope bounds the listener's answer, which has an id and a sentence.
const maxEnvelope = 4 << 10

// What [DialError.Reason] says of targets that the listener did not reach.
const (
	reasonTargetConnectionRefused  = "target_connection_refused"
	reasonTargetDNSNotFound        = "target_dns_not_found"
	reasonTargetDNSTimeout         = "target_dns_timeout"
	reasonTargetFailed             = "target_failed"
	reasonTargetHostUnreachable    = "target_host_unreachable"
	reasonTargetNetworkUnreachable = "target_network_unreachable"
	reasonTargetTimeout            = "target_timeout"
)

// targetReasons are the labels of an aztunnel listener's codes.
var targetReasons = map[string]string{
	"connection_refused":  reasonTargetConnectionRefused,
	"host_unreachable":    reasonTargetHostUnreachable,
	"network_unreachable": reasonTargetNetworkUnreachable,
	"timeout":             reasonTargetTimeout,
	"dns_not_found":       reasonTargetDNSNotFound,
	"dns_timeout":         reasonTargetDNSTimeout,
}

func (a aztunnel) open(c *Conn, id string) (opened, error) {
	envelope, err := json.Marshal(struct {
		Version  int    `json:"version"`
		Target   string `json:"target"`
		BridgeID string `json:"bridge_id"`
	}{1, a.target, id})
	if err != nil {
		return opened{}, err
	}
	if err := c.writeText(envelope); err != nil {
		return opened{}, err
	}
	text, err := readObject(c)
	if err != nil {
		return opened{}, err
	}
	var answer struct {
		OK          *bool
		Error, Code string
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.OK == nil {
		return opened{}, notUnderstood("aztunnel")
	}
	if *answer.OK {
		return opened{reached: true, closesBoth: true, message: aztunnelMessage}, nil
	}
	failed := &openingError{reason: reasonTargetFailed, text: fmt.Sprintf("the listener did not reach %s", a.target)}
	if reason, ok := targetReasons[answer.Code]; ok {
		failed.reason = reason
		failed.text += ": " + answer.Code
	}
	if answer.Error != "" {
		failed.text += ": " + answer.Error // which the DialError makes fit for a line
	}
	return opened{}, failed
}

// readObject reads one JSON object and not a byte more: the target's first bytes
// may follow at once.
func readObject(c *Conn) ([]byte, error) {
	var text []byte
	for len(text) < maxEnvelope {
		var b [1]byte
		switch _, err := c.Read(b[:]); {
		case ended(err):
			return nil, notUnderstood("aztunnel")
		case err != nil:
			return nil, err
		}
		text = append(text, b[0])
		switch {
		case text[0] != '{':
			return nil, notUnderstood("aztunnel")
		case b[0] == '}' && json.Valid(text):
			return text, nil
		}
	}
	return nil, notUnderstood("aztunnel")
}
