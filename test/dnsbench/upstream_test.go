package main

import (
	"bytes"
	"testing"
)

// question is one for www.contoso.net, of type A and class IN, with RD set and
// an OPT record (RFC 6891) behind it.
const question = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + asked + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"

const asked = "\x03www\x07contoso\x03net\x00\x00\x01\x00\x01"

func TestUpstreamAnswersWithAnAddress(t *testing.T) {
	address := addressOf("www.contoso.net").As4()
	want := "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + asked +
		"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04" + string(address[:])
	if got := upstreamReply([]byte(question)); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestUpstreamHasNoDataOfOtherTypes(t *testing.T) {
	aaaa := bytes.Replace([]byte(question), []byte("\x00\x01\x00\x01\x00\x00\x29"), []byte("\x00\x1c\x00\x01\x00\x00\x29"), 1)
	want := "\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + asked[:len(asked)-4] + "\x00\x1c\x00\x01"
	if got := upstreamReply(aaaa); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestUpstreamIsSilentAboutOtherMessages(t *testing.T) {
	response := []byte(question)
	response[2] |= 0x80
	for _, message := range [][]byte{nil, response, []byte(question)[:11], []byte(question)[:20], []byte(question)[:12+len(asked)-1]} {
		if got := upstreamReply(bytes.Clone(message)); got != nil {
			t.Errorf("%q: got %q", message, got)
		}
	}
}
