package fakelistener

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Azbridge's answers to a preamble that it does not take.
var (
	unknownVersion = []byte{0, 0, 0} // or an unknown mode
	onlyDatagrams  = []byte{0, 0, 1}
	onlyStreams    = []byte{0, 0, 0xff}
)

// serveAzbridge reads version, mode and port name, with which azbridge -L begins,
// answers with three bytes, and only then dials. Whatever is wrong ends with the
// Close of a half-close. The answers are those of testdata/azbridge_preamble.txt.
func (l *Listener) serveAzbridge(ctx context.Context, s *socket) {
	s.writeTimeout = l.writeTimeout()
	mode, name, err := readPreamble(s)
	var refusal *refusedPreamble
	switch {
	case errors.As(err, &refusal):
		l.refuse(s, refusal.answer)
		return
	case errors.Is(err, io.EOF):
		l.refuse(s, nil)
		return
	case err != nil:
		return
	case len(l.Answer) > 0:
		l.refuse(s, l.Answer)
		return
	case !l.hasPort(name):
		l.refuse(s, nil)
		return
	case mode == streams && l.Datagrams:
		l.refuse(s, onlyDatagrams)
		return
	case mode == datagrams && !l.Datagrams:
		l.refuse(s, onlyStreams)
		return
	}
	if _, err := s.Write([]byte{1, 0, mode}); err != nil {
		return
	}
	if mode == datagrams {
		io.Copy(io.Discard, onlyReader{s})
		return
	}
	target, ok := l.dial(ctx, s)
	if !ok {
		return
	}
	l.joinAzbridge(ctx, s, target)
}

// The modes of a preamble.
const (
	streams   = 0
	datagrams = 1
)

// refusedPreamble is one that is answered before all of it was read.
type refusedPreamble struct{ answer []byte }

func (*refusedPreamble) Error() string { return "listener: a preamble that azbridge does not know" }

// readPreamble returns io.EOF where the stream ended first. Version and mode are
// judged when these three bytes are there.
func readPreamble(s *socket) (mode byte, name string, err error) {
	var head [3]byte
	if err := readExactly(s, head[:]); err != nil {
		return 0, "", err
	}
	if head[0] != 1 || head[1] != 0 || head[2] > datagrams {
		return 0, "", &refusedPreamble{unknownVersion}
	}
	var length [1]byte
	if err := readExactly(s, length[:]); err != nil {
		return 0, "", err
	}
	text := make([]byte, length[0])
	return head[2], string(text), readExactly(s, text)
}

// readExactly fills p, and returns io.EOF where the stream ended in order before
// that, also amidst it.
func readExactly(s *socket, p []byte) error {
	for len(p) > 0 {
		n, err := s.Read(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// hasPort reports whether a port goes by that name.
func (l *Listener) hasPort(name string) bool {
	if len(l.PortNames) == 0 {
		return name != ""
	}
	if _, err := strconv.Atoi(strings.TrimSpace(name)); err == nil && len(l.PortNames) == 1 {
		return true
	}
	return slices.Contains(l.PortNames, name)
}

func (l *Listener) refuse(s *socket, answer []byte) {
	if _, err := s.Write(answer); err != nil {
		return
	}
	l.closeWith(s, "Shutdown", l.closeWait())
}

// joinAzbridge owns target. Each direction ends by itself: the target's end of
// stream is passed on with a Close, its reset is not; the sender's end is one for the
// target, and a sender that is lost looks the same there. Once both have ended, and not
// before, a Close that was not sent yet is. A relay that takes nothing for
// WriteTimeout is left without one.
func (l *Listener) joinAzbridge(ctx context.Context, s *socket, target net.Conn) {
	stop := context.AfterFunc(ctx, func() { breakBoth(s, target) })
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		up := failing{Reader: onlyReader{s}}
		io.CopyBuffer(onlyWriter{target}, &up, make([]byte, 64<<10))
		if half, ok := target.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		if up.failed { // the relay is gone, and what the target still says is nobody's
			target.Close()
		}
	})
	pumps.Go(func() {
		down := failing{Reader: onlyReader{target}}
		_, err := io.CopyBuffer(onlyWriter{s}, &down, make([]byte, 64<<10))
		switch {
		case down.failed: // reset: nobody is told
		case err != nil:
			s.drop()
		default:
			s.sendClose("Shutdown")
		}
	})
	pumps.Wait()
	target.Close()
	l.closeWith(s, "Shutdown", l.closeWait())
}

// failing notes that reading failed, which a copy's error alone does not tell from a
// failure of writing.
type failing struct {
	io.Reader
	failed bool
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	f.failed = err != nil && err != io.EOF
	return n, err
}
