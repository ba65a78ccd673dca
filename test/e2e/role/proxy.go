//go:build linux

package role

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"hyco-sidecar/test/fakeproxy"
	"hyco-sidecar/test/fakerelay"
)

// playProxy is a company's proxy. Its arguments are KEY=VALUE: user, password,
// mode, status and phrase of a fakeproxy.Server, challenge (which may come twice), and
// ca, the file that the authority of an https:// proxy is written to. It prints
// "tunnel to HOST:PORT" for each tunnel.
func playProxy(address string, args []string) error {
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	s := &fakeproxy.Server{Opened: func(target string) { fmt.Println("tunnel to", target) }}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "user":
			s.User = value
		case "password":
			s.Password = value
		case "mode":
			s.Mode = fakeproxy.Mode(value)
		case "status":
			if s.Status, err = strconv.Atoi(value); err != nil {
				return err
			}
		case "phrase":
			s.Phrase = value
		case "challenge":
			s.Challenge = append(s.Challenge, value)
		case "ca":
			host, _, _ := net.SplitHostPort(address) // which it listens at
			cert, pem, err := fakerelay.NewCertificate(host)
			if err != nil {
				return err
			}
			if err := os.WriteFile(value, pem, 0o644); err != nil {
				return err
			}
			s.Certificate = &cert
		default:
			return fmt.Errorf("no such argument: %s", key)
		}
	}
	listening(ln)
	return s.Serve(context.Background(), ln)
}
