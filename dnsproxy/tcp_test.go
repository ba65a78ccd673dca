package dnsproxy_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

func TestPipelinedQueriesAreAnsweredAsTheyFinish(t *testing.T) {
	release := make(chan bool)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg.Question[0].Name == "slow.contoso.com." {
			<-release
		}
		r.SendMsg(r.Reply(dns.RcodeSuccess))
	})
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	conn := c.dial("tcp")
	for id, name := range []string{"slow.contoso.com", "fast.contoso.com", "sql01.corp.example"} {
		m := question(name, dns.TypeA)
		m.Id = uint16(id)
		send(t, conn, wire(t, m))
	}
	conn.(*net.TCPConn).CloseWrite() // no more questions, but three answers are due
	early := map[uint16]bool{parse(t, recv(t, conn)).Id: true, parse(t, recv(t, conn)).Id: true}
	if !early[1] || !early[2] {
		t.Errorf("first came %v", early)
	}
	close(release)
	if got := parse(t, recv(t, conn)); got.Id != 0 {
		t.Errorf("last came %d", got.Id)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

func TestQueryInPiecesIsAnswered(t *testing.T) {
	c := serve(t, &dnsproxy.Server{Table: table(t)})
	conn := c.dial("tcp")
	msg := wire(t, question("sql01.corp.example", dns.TypeA))
	for _, b := range append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if got := parse(t, recv(t, conn)); len(got.Answer) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestClosedListenerEndsServeWithItsError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- new(dnsproxy.Server).Serve(t.Context(), nil, []net.Listener{ln}) }()
	ln.Close()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Serve goes on")
	}
}
