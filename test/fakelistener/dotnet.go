package fakelistener

import (
	"context"
	"io"

	"github.com/gobwas/ws"
)

// Exercise is what DotnetRaw does with a connection: its first byte.
type Exercise byte

// The exercises, as they were recorded of the .NET library (test/transcript,
// testdata/dotnet).
const (
	// EchoShutdown reads to the end, sends all of it back in one message, and ends
	// its own direction.
	EchoShutdown Exercise = 'e'
	// CloseWithoutShutdown sends 1,000,000 bytes in one message and closes: the
	// library reads on for the sender's Close, and throws away what comes before.
	CloseWithoutShutdown Exercise = 'c'
	// TextMode sends 65,536 arbitrary bytes in one text message.
	TextMode Exercise = 't'
	// EmptyMessage sends an empty message, then five bytes.
	EmptyMessage Exercise = 'z'
	// OneLargeMessage sends 32 MiB in one message, one frame.
	OneLargeMessage Exercise = 'm'
	// ShutdownThenRead sends 1,000 bytes, ends its own direction and reads on.
	ShutdownThenRead Exercise = 's'
	// Abort sends 1,000 bytes and leaves without a Close.
	Abort Exercise = 'a'
	// ReadThenAnswer reads until the library says 0 bytes, which an empty message
	// does too, and answers with the number of bytes read, as one byte.
	ReadThenAnswer Exercise = 'r'
)

// serveDotnetRaw does the exercise that the first byte names. One write of the .NET
// library is one message of one frame, whatever its size; an unknown exercise is
// closed as a stream that is disposed of.
func (l *Listener) serveDotnetRaw(ctx context.Context, s *socket) {
	stop := context.AfterFunc(ctx, s.drop)
	defer stop()
	var first [1]byte
	if err := readExactly(s, first[:]); err != nil {
		l.closeAsync(s)
		return
	}
	shutdown := func() { s.sendClose("Shutdown") }
	switch Exercise(first[0]) {
	case EchoShutdown:
		all, err := io.ReadAll(onlyReader{s})
		if err != nil {
			return // the stream is lost, and so is the answer
		}
		s.Write(all)
		shutdown()
	case CloseWithoutShutdown:
		s.Write(pattern(1_000_000))
	case TextMode:
		s.writeFrame(ws.OpText, pattern(65_536))
		shutdown()
	case EmptyMessage:
		s.writeFrame(ws.OpBinary, nil)
		s.Write([]byte("later"))
		shutdown()
	case OneLargeMessage:
		s.Write(pattern(32 << 20))
		shutdown()
	case ShutdownThenRead:
		s.Write(pattern(1000))
		shutdown()
		io.Copy(io.Discard, onlyReader{s})
	case Abort:
		s.Write(pattern(1000))
		s.drop()
		return
	case ReadThenAnswer:
		n, err := io.Copy(io.Discard, onlyReader{s})
		if err != nil {
			return
		}
		s.Write([]byte{byte(n)})
		shutdown()
	}
	l.closeAsync(s)
}

// pattern is n bytes that no text has.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7)
	}
	return p
}
