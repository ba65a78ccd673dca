// Package replay plays the far side of recorded connections to a sender: what the relay
// sent in a recording is sent again, frame by frame, to whoever connects.
//
// A recording says what a real listener did, not how a sender should take it. So a
// player waits for what the sender did in the recording, but not for ever: a sender that
// acts otherwise gets the rest of the recording all the same.
package replay

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/transcript"
)

// Far is a relay that plays recordings. Its fields are set before Serve.
type Far struct {
	Certificate tls.Certificate
	// Recordings are played to whoever connects to the hybrid connection of their
	// name, each time from the beginning.
	Recordings map[string]*transcript.Transcript
	// Scale is what becomes of a recorded pause: 0.01 makes a second 10 ms. Zero leaves
	// pauses out. None is longer than MaxPause.
	Scale    float64
	MaxPause time.Duration
	// Patience is how long the player waits for what the sender did in the recording.
	// Zero means 2 s.
	Patience time.Duration
}

// Serve plays until ctx ends. It closes ln, and returns when all its connections have
// ended.
func (f *Far) Serve(ctx context.Context, ln net.Listener) error {
	var playing sync.WaitGroup
	defer playing.Wait()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		raw, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		playing.Go(func() {
			defer raw.Close()
			defer context.AfterFunc(ctx, func() { raw.Close() })()
			_ = f.play(raw) // a sender that leaves is the test's to judge
		})
	}
}

// play upgrades one connection and plays its recording.
func (f *Far) play(raw net.Conn) error {
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{f.Certificate}, NextProtos: []string{"http/1.1"}})
	br := bufio.NewReader(conn)
	req, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/$hc/"), "?")
	recording := f.Recordings[name]
	if recording == nil {
		_, err := io.WriteString(conn, "HTTP/1.1 404 Endpoint does not exist.\r\nContent-Length: 0\r\n\r\n")
		return err
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return err
	}
	p := &part{Far: f, raw: raw, conn: conn, heard: sync.NewCond(new(sync.Mutex))}
	var listening sync.WaitGroup
	defer listening.Wait()
	defer raw.Close()
	listening.Go(func() { p.listen(br) })
	return p.run(recording.AfterUpgrade())
}

// part is one connection that is being played.
type part struct {
	*Far
	raw  net.Conn
	conn *tls.Conn

	heard  *sync.Cond // guards what follows
	bytes  int64      // of data that the sender has sent
	closed bool       // the sender has sent its Close
	gone   bool       // the sender's direction has ended
}

// listen takes what the sender sends, until it leaves.
func (p *part) listen(r io.Reader) {
	note := func(what func()) {
		p.heard.L.Lock()
		defer p.heard.L.Unlock()
		what()
		p.heard.Broadcast()
	}
	defer note(func() { p.gone = true })
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return
		}
		n, err := io.CopyN(io.Discard, r, h.Length)
		note(func() {
			if h.OpCode.IsData() {
				p.bytes += n
			}
			p.closed = p.closed || h.OpCode == ws.OpClose
		})
		if err != nil {
			return
		}
	}
}

// run plays events in their order.
func (p *part) run(events []transcript.Event) error {
	var sent int64 // by the sender, in the recording
	var before time.Duration
	for i, e := range events {
		pause := time.Duration(0)
		if i > 0 {
			pause = min(time.Duration(float64(e.At-before)*p.Scale), p.MaxPause)
		}
		before = e.At
		switch {
		case e.Kind == transcript.Ping, e.Kind == transcript.Pong:
			continue
		case e.Near && e.Kind == transcript.Data && e.Frames > 1:
			// Some of them may have come after what follows in the recording.
			least := sent + 1
			sent += e.Bytes
			p.await(func() bool { return p.bytes >= least })
			continue
		case e.Near && e.Kind == transcript.Data:
			sent += e.Bytes
			p.await(func() bool { return p.bytes >= sent })
			continue
		case e.Near && e.Kind == transcript.Close:
			p.await(func() bool { return p.closed })
			continue
		case e.Near: // its end, after which whatever came was seen by nobody
			p.awaitFor(time.Minute, func() bool { return p.gone })
			return nil
		}
		<-time.After(pause)
		if err := p.do(e); err != nil {
			return err
		}
		if e.Kind == transcript.Ended || e.Kind == transcript.Broken {
			return nil
		}
	}
	// What the recording does not have the far side end, the sender ends.
	p.awaitFor(time.Minute, func() bool { return false })
	return nil
}

// await waits until what the sender does makes done true, the sender leaves, or Patience
// is over.
func (p *part) await(done func() bool) {
	patience := p.Patience
	if patience == 0 {
		patience = 2 * time.Second
	}
	p.awaitFor(patience, done)
}

func (p *part) awaitFor(patience time.Duration, done func() bool) {
	p.heard.L.Lock()
	defer p.heard.L.Unlock()
	over := false
	timer := time.AfterFunc(patience, func() {
		p.heard.L.Lock()
		defer p.heard.L.Unlock()
		over = true
		p.heard.Broadcast()
	})
	defer timer.Stop()
	for !done() && !p.gone && !over {
		p.heard.Wait()
	}
}

// do does one thing that the far side did.
func (p *part) do(e transcript.Event) error {
	switch e.Kind {
	case transcript.Data:
		op := ws.OpBinary
		if e.Text {
			op = ws.OpText
		}
		first := e.First
		for left, frames := e.Bytes, e.Frames; frames > 0; frames-- {
			size := left
			if frames > 1 {
				size = left / int64(frames)
			}
			payload := make([]byte, size)
			copy(payload, first)
			first = nil
			if err := ws.WriteFrame(p.conn, ws.NewFrame(op, true, payload)); err != nil {
				return err
			}
			left -= size
		}
	case transcript.Close:
		return ws.WriteFrame(p.conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(e.Code), e.Reason)))
	case transcript.Ended:
		if e.Abrupt {
			return p.raw.(*net.TCPConn).CloseWrite()
		}
		return p.conn.Close()
	case transcript.Broken:
		return p.raw.(*net.TCPConn).SetLinger(0)
	}
	return nil
}
