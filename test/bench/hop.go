package main

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// hop is what a forwarder is at its simplest: accept, dial, two plain copies.
//
// The baseline is one that dials TLS, with sessions resumed and otherwise the
// defaults of crypto/tls. It is the yardstick because it is what everybody would
// write first, and does all that TLS makes necessary and nothing else. Behind it
// are as many hops as behind the sidecar: front stands for the relay, with TLS on
// both sides, and back for the listener, with TLS on one.
type hop struct {
	server, client *tls.Config // nil = plain
	next           string      // the address that is dialled
}

// playBaseline is given the folder of the certificate and the front's address.
func playBaseline(args []string) error {
	client, err := clientConfig(args[0])
	if err != nil {
		return err
	}
	client.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	return hop{client: client, next: args[1]}.serve()
}

// playFront is given the folder of the certificate and the back's address.
func playFront(args []string) error {
	client, err := clientConfig(args[0])
	if err != nil {
		return err
	}
	server, err := serverConfig(args[0])
	if err != nil {
		return err
	}
	return hop{server: server, client: client, next: args[1]}.serve()
}

// playBack is given the folder of the certificate and the target's address.
func playBack(args []string) error {
	server, err := serverConfig(args[0])
	if err != nil {
		return err
	}
	return hop{server: server, next: args[1]}.serve()
}

func clientConfig(dir string) (*tls.Config, error) {
	roots, err := rootCAs(dir)
	return &tls.Config{RootCAs: roots}, err
}

// serverConfig is like the stand-in relay's, whose first records are not small.
func serverConfig(dir string) (*tls.Config, error) {
	cert, err := serverCertificate(dir)
	return &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true}, err
}

func (h hop) serve() error {
	ln, err := openPort()
	if err != nil {
		return err
	}
	listening(ln)
	if h.server != nil {
		ln = tls.NewListener(ln, h.server)
	}
	return acceptAll(ln, func(near halfCloser) {
		far, err := h.dial()
		if err != nil {
			return // the app notices that its connection has ended
		}
		defer far.Close()
		join(near, far)
	})
}

func (h hop) dial() (halfCloser, error) {
	if h.client == nil {
		conn, err := net.Dial("tcp", h.next)
		if err != nil {
			return nil, err
		}
		return conn.(*net.TCPConn), nil
	}
	return tls.Dial("tcp", h.next, h.client)
}

// halfCloser is a *net.TCPConn or a *tls.Conn.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// join copies both ways until both have ended, or one has failed.
func join(a, b halfCloser) {
	var wg sync.WaitGroup
	one := func(dst, src halfCloser) {
		_, err := io.Copy(dst, src)
		if err == nil {
			err = dst.CloseWrite()
		}
		if err != nil {
			a.Close()
			b.Close()
		}
	}
	wg.Go(func() { one(b, a) })
	wg.Go(func() { one(a, b) })
	wg.Wait()
}
