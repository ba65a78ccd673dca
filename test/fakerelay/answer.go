package fakerelay

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// refuse answers with an error of the relay's own: the text goes into the
// reason phrase, with what Azure support would ask for.
func (s *Server) refuse(r *request, status int, text string) verdict {
	return s.answer(r, status, s.trackedPhrase(r, text), nil, nil)
}

// trackedPhrase is text as the service completes it.
func (s *Server) trackedPhrase(r *request, text string) string {
	id := r.id
	if id == "" {
		id = newGUID()
	}
	path := r.path
	if path == "" {
		path = strings.TrimPrefix(r.URL.Path, "/")
	}
	return fmt.Sprintf("%s. TrackingId:%s_G0, SystemTracker:sb://%s/%s, Timestamp:%s",
		text, id, hostOnly(r.Host), path, s.now().UTC().Format("2006-01-02T15:04:05"))
}

// answer writes a response. net/http cannot write a reason phrase of one's own.
func (s *Server) answer(r *request, status int, phrase string, header http.Header, body []byte) verdict {
	level := slog.LevelDebug
	if status >= 400 && status != http.StatusGone {
		level = slog.LevelInfo
	}
	s.logger().Log(context.Background(), level, "answered", "action", r.action, "path", r.path, "id", r.id, "status", status, "phrase", phrase)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, oneLine(phrase))
	header.Write(&b)
	if r.Close {
		b.WriteString("Connection: close\r\n")
	}
	fmt.Fprintf(&b, "Date: %s\r\nContent-Length: %d\r\n\r\n", s.date(), len(body))
	b.Write(body)
	if _, err := r.peer.tls.Write(b.Bytes()); err != nil {
		return closeConn
	}
	return keepConn
}

// date is a Date header's, which servers put on all answers (RFC 9110 section 6.6.1).
func (s *Server) date() string { return s.now().UTC().Format(http.TimeFormat) }

// switchProtocols completes a websocket handshake (RFC 6455 section 4.2.2).
func (s *Server) switchProtocols(r *request, chosen choices, header http.Header) error {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + guid))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	fmt.Fprintf(&b, "Sec-WebSocket-Accept: %s\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	if chosen.protocol != "" {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", oneLine(chosen.protocol))
	}
	if chosen.extension != "" {
		fmt.Fprintf(&b, "Sec-WebSocket-Extensions: %s\r\n", oneLine(chosen.extension))
	}
	header.Write(&b)
	fmt.Fprintf(&b, "Date: %s\r\n\r\n", s.date())
	_, err := r.peer.tls.Write(b.Bytes())
	return err
}

// oneLine keeps text from ending the line it is put into.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
}

func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
