package dnsproxy_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"

	"hyco-sidecar/dnsproxy"
)

// A Server that answers one name with a loopback address, and an app that asks it.
// For other names it would need Upstreams, for example those of
// [dnsproxy.SystemUpstreams].
func ExampleServer() {
	table, err := dnsproxy.NewTable(maps.All(map[string]netip.Addr{
		"sql01.corp.example": netip.MustParseAddr("127.77.1.2"),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := &dnsproxy.Server{Table: table}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, []net.PacketConn{packets}, nil) }()

	app := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, packets.LocalAddr().String())
	}}
	addrs, err := app.LookupHost(ctx, "sql01.corp.example.")
	fmt.Println(addrs, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// [127.77.1.2] <nil>
	// <nil>
}
