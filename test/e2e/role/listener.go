//go:build linux

package role

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"hyco-sidecar/test/fakelistener"
)

// playListener is a listener apart from the relay, so that it can die alone. Its
// arguments are a connection string, the file with the relay's certificate, a
// personality and the target's address. It prints "online" whenever it is.
func playListener(args []string) error {
	pem, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + args[1])
	}
	l := fakelistener.Listener{
		ConnectionString: args[0],
		RootCAs:          roots,
		Personality:      fakelistener.Personality(args[2]),
		Online:           func() { fmt.Println("online") },
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp4", args[3])
		},
	}
	return l.Serve(context.Background())
}
