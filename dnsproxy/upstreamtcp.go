package dnsproxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// askOverTCP has q answered by one upstream over a TCP connection of its own. The
// reply has q's id and is otherwise as it came. What does not answer q is ignored
// (RFC 5452 section 9.1).
func (p *pool) askOverTCP(ctx context.Context, u *upstream, q *query) ([]byte, error) {
	conn, err := p.dial(ctx, "tcp", u.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, p.guarded(func() { conn.SetDeadline(time.Unix(1, 0)) }))
	defer stop()

	msg := slices.Clone(q.raw)
	rand.Read(msg[:2]) // a fresh id; never fails
	if err := writeMessage(conn, msg); err != nil {
		return nil, err
	}
	for {
		reply, err := readMessage(conn)
		if err != nil {
			return nil, fmt.Errorf("waiting for a reply over tcp: %w", err)
		}
		if answers(reply, binary.BigEndian.Uint16(msg), q.question) {
			binary.BigEndian.PutUint16(reply, q.id())
			return reply, nil
		}
	}
}
