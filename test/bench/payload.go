package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
)

// payload is what all streams are made of: the same pseudo-random bytes over and
// over. Its odd length makes any loss or repetition of a power of two show.
type payload struct{ block []byte }

const (
	payloadSize = 1<<20 - 3
	// writeSize is what an app hands to the kernel at once.
	writeSize = 128 << 10
	readSize  = 256 << 10
)

func newPayload() *payload {
	p := &payload{make([]byte, payloadSize)}
	_, _ = rand.NewChaCha8([32]byte{'h', 'y', 'c', 'o'}).Read(p.block) // it never fails
	return p
}

// errChecksum means that bytes were lost, changed or mixed up on their way.
var errChecksum = errors.New("the checksum differs")

// castagnoli is a polynomial that processors know: checking costs a few per cent
// of what TLS does.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// somewhere is where a stream may begin, so that no two are alike: bytes of another
// stream then show, even in the right place.
func (p *payload) somewhere() int64 { return rand.Int64N(payloadSize) }

// send writes n bytes, those from start on, and returns their checksum.
func (p *payload) send(w io.Writer, start, n int64) (sum uint32, err error) {
	for at := int(start); n > 0; {
		chunk := p.block[at:min(at+writeSize, len(p.block))]
		chunk = chunk[:min(int64(len(chunk)), n)]
		if _, err := w.Write(chunk); err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, chunk)
		n -= int64(len(chunk))
		at = (at + len(chunk)) % len(p.block)
	}
	return sum, nil
}

// receive reads n bytes through buf and returns their checksum.
func receive(r io.Reader, n int64, buf []byte) (sum uint32, err error) {
	for left := n; left > 0; {
		got, err := r.Read(buf[:min(int64(len(buf)), left)])
		sum = crc32.Update(sum, castagnoli, buf[:got])
		left -= int64(got)
		if err != nil && left > 0 {
			return 0, fmt.Errorf("after %d of %d bytes: %w", n-left, n, err)
		}
	}
	return sum, nil
}
