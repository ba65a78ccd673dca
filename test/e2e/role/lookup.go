//go:build linux

package role

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// playLookup does what testdata/lookup.c does, with the resolver of Go that a program
// has when it was built with CGO_ENABLED=0.
func playLookup(args []string) error {
	resolver := &net.Resolver{PreferGo: true}
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}}
	for _, arg := range args {
		began := time.Now()
		var saw string
		var err error
		if strings.Contains(arg, ":") {
			saw, err = fetch(client, arg)
		} else {
			saw, err = lookUp(resolver, arg)
		}
		if err != nil {
			return err
		}
		fmt.Println(arg, time.Since(began).Microseconds(), saw)
	}
	return nil
}

// lookUp returns the addresses, or what the resolver says of the failure in
// the fields of its error.
func lookUp(resolver *net.Resolver, name string) (string, error) {
	found, err := resolver.LookupNetIP(context.Background(), "ip", name)
	if failure, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("IsNotFound=%v IsTemporary=%v IsTimeout=%v", failure.IsNotFound, failure.IsTemporary, failure.IsTimeout), nil
	}
	texts := make([]string, len(found))
	for i, addr := range found {
		texts[i] = addr.String()
	}
	return strings.Join(texts, ","), err
}

func fetch(client *http.Client, address string) (string, error) {
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}
