package fakerelay_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
)

// contract is HybridConnectionDescription's data contract: the members that
// .NET reads, in the order it expects them.
var contract = []string{"CreatedAt", "UpdatedAt", "RequiresClientAuthorization", "UserMetadata", "ListenerCount"}

const serviceBus = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"

// decodeAsDataContract reads the description in an Atom entry as .NET's
// DataContractSerializer does: strictly forward, so that a member whose turn
// has passed is dropped without an error.
func decodeAsDataContract(t *testing.T, entry string) map[string]string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(entry))
	got := map[string]string{}
	turn, inside := 0, false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
			continue
		case start.Name == xml.Name{Space: serviceBus, Local: "HybridConnectionDescription"}:
			inside = true
			continue
		case !inside || start.Name.Space != serviceBus:
			continue
		}
		var value string
		if err := d.DecodeElement(&value, &start); err != nil {
			t.Fatal(err)
		}
		for i := turn; i < len(contract); i++ {
			if contract[i] == start.Name.Local {
				got[start.Name.Local], turn = value, i+1
				break
			}
		}
	}
}

// describe asks for an entity's description as the .NET library does.
func (b *bench) describe(entity string) string {
	b.t.Helper()
	d := b.dial
	d.Plain = true
	d.Header = http.Header{
		"Authorization": {fakerelay.SAS("http://localhost/", listenRule, time.Now().Add(time.Hour))},
		"X-PROCESS-AT":  {"ServiceBus"},
	}
	c, resp, err := d.Request(b.t.Context(), "/"+entity+"?api-version=2016-07")
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.TLS.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %v: %s", resp.Status, err, body)
	}
	return string(body)
}

func TestDescriptionIsReadByNETInItsOrder(t *testing.T) {
	e := orders
	e.UserMetadata = `[{"key":"endpoint","value":"orders.corp.example:8080"}]`
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var clock atomic.Int64
	clock.Store(made.Unix())
	b := newBench(t, &fakerelay.Server{
		Entities: []fakerelay.Entity{e, {Path: "open-hc", Anonymous: true, Rules: orders.Rules}},
		Clock:    func() time.Time { return time.Unix(clock.Load(), 0) },
	})
	b.eventuallyServes()
	clock.Store(made.Add(time.Minute).Unix())
	b.control()
	want := map[string]string{
		"CreatedAt": "2026-03-01T12:00:00Z", "UpdatedAt": "2026-03-01T12:00:00Z",
		"RequiresClientAuthorization": "true", "UserMetadata": e.UserMetadata, "ListenerCount": "1",
	}
	check := func(entity string, want map[string]string) {
		t.Helper()
		text := b.describe(entity)
		got := decodeAsDataContract(t, text)
		for _, name := range contract {
			if got[name] != want[name] {
				t.Errorf("%s: .NET reads %s as %q, want %q, from\n%s", entity, name, got[name], want[name], text)
			}
		}
	}
	check("orders-hc", want)
	check("open-hc", map[string]string{"CreatedAt": want["CreatedAt"], "UpdatedAt": want["UpdatedAt"], "RequiresClientAuthorization": "false", "ListenerCount": "0"})

	e.UserMetadata = `[{"key":"endpoint","value":"orders.corp.example:9090"}]`
	b.AddEntity(e)
	clock.Store(made.Add(time.Hour).Unix())
	want["UserMetadata"], want["UpdatedAt"] = e.UserMetadata, "2026-03-01T12:01:00Z"
	check("orders-hc", want)
}

// eventuallyServes waits until the relay has answered a request.
func (b *bench) eventuallyServes() { b.status(nil, "/") }
