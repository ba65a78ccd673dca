package fakelistener

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// dataContract is the order in which .NET's DataContract reads the elements of a
// hybrid connection's description. One that comes after an element of a higher number
// is dropped without a word.
var dataContract = []string{"CreatedAt", "UpdatedAt", "RequiresClientAuthorization", "UserMetadata", "ListenerCount"}

// configure asks the relay for the hybrid connection's metadata, as the service of
// Hybrid Connection Manager v2 does at its start, and takes the target from them. Metadata
// without an endpoint end the original's process; here they are an error.
func (l *Listener) configure(ctx context.Context, e endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.RootCAs, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	if l.RelayAddress != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, l.RelayAddress)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s/%s?api-version=2016-07", e.host, escapePath(e.path)), nil)
	if err != nil {
		return err
	}
	req.Header.Set("ServiceBusAuthorization", e.token(l.tokenLifetime()))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("listener: the hybrid connection's description: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &refused{resp.Status}
	}
	described, err := decodeDescription(resp.Body)
	if err != nil {
		return fmt.Errorf("listener: the hybrid connection's description: %w", err)
	}
	target, err := endpointOf(described["UserMetadata"])
	if err != nil {
		return err
	}
	if l.Dial == nil {
		l.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", target)
		}
	}
	return nil
}

// decodeDescription reads the elements of HybridConnectionDescription as a .NET
// program gets them.
func decodeDescription(r io.Reader) (map[string]string, error) {
	d := xml.NewDecoder(r)
	got, next := make(map[string]string), 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for i := next; i < len(dataContract); i++ {
			if dataContract[i] != start.Name.Local {
				continue
			}
			var text string
			if err := d.DecodeElement(&text, &start); err != nil {
				return nil, err
			}
			if start.Name.Local == "CreatedAt" || start.Name.Local == "UpdatedAt" {
				if _, err := time.Parse(time.RFC3339, text); err != nil {
					return nil, err
				}
			}
			got[start.Name.Local], next = text, i+1
			break
		}
	}
}

var errNoEndpoint = errors.New("listener: the hybrid connection's metadata name no endpoint, and Hybrid Connection Manager's service ends at its start")

// endpointOf is the target that metadata name.
func endpointOf(metadata string) (string, error) {
	var pairs []struct{ Key, Value string }
	if err := json.Unmarshal([]byte(metadata), &pairs); err != nil {
		return "", errNoEndpoint
	}
	for _, p := range pairs {
		if p.Key == "endpoint" {
			if _, _, err := net.SplitHostPort(p.Value); err == nil {
				return p.Value, nil
			}
		}
	}
	return "", errNoEndpoint
}
