package forwarder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"hyco-sidecar/forwarder"
)

// A server that carries what it accepts to one target over plain TCP.
func ExampleServer() {
	target := shout()
	defer target.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := forwarder.Server{
		NewID: func() string { return "1" },
		Dial: func(ctx context.Context, _ forwarder.Request) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", target.Addr().String())
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, forwarder.Listener{Listener: ln, Target: "shout.corp.example:7"}) }()

	fmt.Println(ask(ln.Addr(), "hello"))
	stop()
	fmt.Println(<-done)
	// Output:
	// hello!
	// <nil>
}

// Hooks tell why each connection ended, such as one whose target cannot be reached: its
// app gets a reset.
func ExampleHooks() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := forwarder.Server{
		NewID: func() string { return "1" },
		Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			return nil, errors.New("no route to the target")
		},
		Hooks: forwarder.Hooks{
			Closed: func(s forwarder.Summary) { fmt.Printf("%s %s: %s, %v\n", s.Target, s.ID, s.Cause, s.Err) },
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, forwarder.Listener{Listener: ln, Target: "sql01.corp.example:1433"}) }()

	ask(ln.Addr(), "SELECT 1")
	stop()
	<-done
	// Output: sql01.corp.example:1433 1: dial_failed, no route to the target
}

// shout is a target that answers each stream, once it has ended, with a "!" behind it.
func shout() net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			text, _ := io.ReadAll(conn)
			fmt.Fprintf(conn, "%s!", text)
			conn.Close()
		}
	}()
	return ln
}

// ask sends text as an app does, and returns what comes back.
func ask(address net.Addr, text string) string {
	app, err := net.Dial(address.Network(), address.String())
	if err != nil {
		return err.Error()
	}
	defer app.Close()
	_, _ = io.WriteString(app, text) // fails where a reset has come already
	_ = app.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(app)
	return string(answer)
}
