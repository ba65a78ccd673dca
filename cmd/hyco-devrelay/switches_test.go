package main_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestContradictionsAndNonsenseAreOneLineEach(t *testing.T) {
	bin := program(t, "hyco-devrelay")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("a2V5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string // after "hyco-devrelay: "
	}{
		{[]string{"-missing-right", "401", "-missing-right", "403", "a-hc"}, `invalid value "403" for flag -missing-right: 401 was chosen before; see`},
		{[]string{"-unknown-entity", "403", "a-hc"}, `invalid value "403" for flag -unknown-entity: choose 404 or 401; see`},
		{[]string{"-accept-timeout-status", "408", "a-hc"}, `invalid value "408" for flag -accept-timeout-status: choose 504 or 404; see`},
		{[]string{"-close-codes", "kept", "a-hc"}, `invalid value "kept" for flag -close-codes: choose passed or rewritten; see`},
		{[]string{"-names", "lower", "a-hc"}, `invalid value "lower" for flag -names: choose exact or any-case; see`},
		{[]string{"-idle-cut", "-1s", "a-hc"}, `-idle-cut -1s: must not be below 0`},
		{[]string{"-expiry-leeway", "-5m", "a-hc"}, `-expiry-leeway -5m0s: must not be below 0`},
		{[]string{"-drain", "-5s", "a-hc"}, `-drain -5s: must not be below 0`},
		{[]string{"-send-key", "a2V5", "-send-keys", keys, "a-hc"}, `-send-key and -send-keys: give one of them`},
		{[]string{"-port-name", "sql", "a-hc"}, `-port-name "sql": only the personality azbridge has one, and this is hcm`},
		{[]string{"-metadata", "b-hc=x", "a-hc"}, `-metadata b-hc=…: no such entity is named`},
		{[]string{"-anonymous", "b-hc", "a-hc"}, `-anonymous b-hc: no such entity is named`},
		{[]string{"-names", "any-case", "a-hc", "A-HC"}, `"A-HC": the entity A-HC was named before`},
		{[]string{"-rule", "root", "a-hc"}, `-rule root: write NAME[@ENTITY]=RIGHTS[:KEY]`},
		{[]string{"-rule", "ro/ot=send", "a-hc"}, `-rule ro/ot: a rule's name consists of`},
		{[]string{"-rule", "root@=send", "a-hc"}, `-rule root@: the entity after @ is missing`},
		{[]string{"-rule", "root=write", "a-hc"}, `-rule root: the right "write" is none of`},
		{[]string{"-rule", "root=send:top secret", "a-hc"}, `-rule root: a key must be of`},
		{[]string{"-rule", "root=send:", "a-hc"}, `-rule root: a key must be of`},
		{[]string{"-rule", "batch@b-hc=send", "a-hc"}, `-rule batch@b-hc: no such entity is named`},
		{[]string{"-rule", "root=send", "-rule", "root=listen", "a-hc"}, `-rule root: was given before`},
		{[]string{"-rule", "defaultSender=manage", "a-hc"}, `-rule defaultSender: every entity has this rule`},
		{[]string{"-entra-key", keys, "a-hc"}, `-entra-key ` + keys + `: holds no PEM`},
		{[]string{"-entra-key", keys + ".none", "a-hc"}, `-entra-key ` + keys + `.none: no such file or directory`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			out := fails(t, bin, tt.args...)
			if !strings.HasPrefix(out, "hyco-devrelay: "+tt.want) || strings.Count(out, "\n") != 1 || strings.Contains(out, "top secret") {
				t.Errorf("got %q, want one line %q…", out, tt.want)
			}
		})
	}
}

func TestRulesOfANamespaceAndOfAnEntity(t *testing.T) {
	d := run(t, program(t, "hyco-devrelay"), "-listen", "127.0.0.1:0",
		"-rule", "RootManageSharedAccessKey=manage:cm9vdA==", "-rule", "batch@a-hc=listen+send", "-rule", "reader=listen",
		"-anonymous", "open-hc", "a-hc", "b-hc", "open-hc")
	later := time.Now().Add(time.Hour)
	if got, want := d.line("# rule RootManageSharedAccessKey: "), "Endpoint=sb://"+d.host+"/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=cm9vdA=="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	batch := rule(d.line("# rule batch@a-hc: "))
	if !strings.HasSuffix(d.line("# rule batch@a-hc: "), ";EntityPath=a-hc") || len(batch.Key) != 44 {
		t.Errorf("printed %q", d.line("# rule batch@a-hc: "))
	}
	for name, header := range map[string]http.Header{
		"root":   d.token(rule(d.line("# rule RootManageSharedAccessKey: ")), later),
		"batch":  d.token(batch, later),
		"reader": d.token(rule(d.line("# rule reader: ")), later),
		"none":   nil,
	} {
		const noListener, invalid, missing = "404 There are no listeners", "401 The token has an invalid signature", "401 MissingToken"
		want := map[string][3]string{ // of a connect to each entity
			"root": {noListener, noListener, noListener}, "batch": {noListener, invalid, noListener},
			"reader": {"401 Unauthorized access", "401 Unauthorized access", noListener}, "none": {missing, missing, noListener},
		}[name]
		for i, entity := range []string{"a-hc", "b-hc", "open-hc"} {
			if _, resp := d.request(header, "/$hc/"+entity); !strings.HasPrefix(resp.Status, want[i]) {
				t.Errorf("%s to %s: got %s, want %s", name, entity, resp.Status, want[i])
			}
		}
	}
	for _, entity := range []string{"a-hc", "open-hc"} {
		if _, resp := d.request(d.token(rule(d.line("# rule reader: ")), later), "/$hc/"+entity+"?sb-hc-action=listen"); resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("reader listens at %s: %s", entity, resp.Status)
		}
	}
}

func TestTokensOfEntraIDAreCheckedByTheKeyGiven(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	d := run(t, program(t, "hyco-devrelay"), "-listen", "127.0.0.1:0", "-entra-key", file, "-clock-offset", "2h", "a-hc")
	token := func(ends time.Duration) http.Header {
		b64 := base64.RawURLEncoding.EncodeToString
		signed := b64([]byte(`{"alg":"RS256"}`)) + "." + b64(fmt.Appendf(nil, `{"aud":"https://relay.azure.net/","exp":%d}`, time.Now().Add(ends).Unix()))
		sum := sha256.Sum256([]byte(signed))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + signed + "." + b64(sig)}}
	}
	for ends, want := range map[time.Duration]string{3 * time.Hour: "404 There are no listeners", time.Hour: "401 ExpiredToken"} {
		if _, resp := d.request(token(ends), "/$hc/a-hc"); !strings.HasPrefix(resp.Status, want) {
			t.Errorf("a token that ends in %v, at a clock two hours ahead: %s, want %s", ends, resp.Status, want)
		}
	}
}

// Each switch does on the wire what it says, and not without being asked.
func TestSwitches(t *testing.T) {
	bin := program(t, "hyco-devrelay")
	for _, other := range []bool{false, true} {
		args := []string{"-listen", "127.0.0.1:0", "-host", "localhost", "-accept-timeout", "50ms", "-personality", "halfclose"}
		if other {
			args = append(args, "-unknown-entity", "401", "-missing-right", "403", "-accept-timeout-status", "404",
				"-expiry-leeway", "5m", "-close-codes", "rewritten", "-names", "any-case")
		}
		d := run(t, bin, append(args, "a-hc", "echo-hc=echo.example:7@"+echo(t))...)
		sender, listener := rule(d.line("HYCO_CONNECTION_0_CONNECTION_STRING=")), rule(d.line("# listener a-hc: "))
		later := time.Now().Add(time.Hour)
		if _, resp := d.request(d.token(listener, later), "/$hc/a-hc?sb-hc-action=listen"); resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp.Status)
		}
		for _, tt := range []struct {
			name     string
			header   http.Header
			target   string
			one, two string
		}{
			{"unknown entity", d.token(sender, later), "/$hc/nowhere", "404 Endpoint does not exist", "401 The token has an invalid signature"},
			{"missing right", d.token(listener, later), "/$hc/a-hc", "401 Unauthorized access", "403 Unauthorized access"},
			{"accept time-out", d.token(sender, later), "/$hc/a-hc", "504 The listener did not accept", "404 None of the connected listeners accepted"},
			{"expired", d.token(sender, time.Now().Add(-time.Minute)), "/$hc/a-hc", "401 ExpiredToken", "404 None of the connected listeners accepted"},
			{"case", d.token(sender, later), "/$hc/ECHO-hc", "404 Endpoint does not exist", "101 "},
		} {
			want := tt.one
			if other {
				want = tt.two
			}
			if _, resp := d.request(tt.header, tt.target); !strings.HasPrefix(resp.Status, want) {
				t.Errorf("%s: got %s, want %s", tt.name, resp.Status, want)
			}
		}
		c, resp := d.request(d.token(sender, later), "/$hc/echo-hc?sb-hc-id=8a2f")
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp.Status)
		}
		c.WriteClose(1000, "") // the target then ends as well
		want := "Shutdown"
		if other {
			want = "The listener closed the connection. TrackingId:8a2f_G0"
		}
		if _, closed, err := c.ReadStream(1); err != nil || closed.Code != 1000 || closed.Reason != want {
			t.Errorf("got Close %+v %v, want 1000 %q", closed, err, want)
		}
	}
}

func TestIdleCutSparesTheRelaysOwnListeners(t *testing.T) {
	const cut = 800 * time.Millisecond
	d := run(t, program(t, "hyco-devrelay"), "-listen", "127.0.0.1:0", "-idle-cut", cut.String(), "echo-hc=echo.example:7@"+echo(t))
	sender := rule(d.line("HYCO_CONNECTION_0_CONNECTION_STRING="))
	<-time.After(2 * cut) // nobody is connected but the listener
	c, resp := d.request(d.token(sender, time.Now().Add(time.Hour)), "/$hc/echo-hc")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s\n%s", resp.Status, d.stderr.String())
	}
	tick := time.NewTicker(cut / 2)
	defer tick.Stop()
	for range 4 { // a sender that pings is not cut
		<-tick.C
		c.WriteFrame(ws.OpPing, true, nil)
	}
	c.WriteFrame(ws.OpBinary, true, []byte("still"))
	if got, _, err := c.ReadStream(5); err != nil || string(got) != "still" {
		t.Errorf("with pings: %q %v", got, err)
	}
	start := time.Now()
	if _, _, err := c.ReadStream(1); err == nil || time.Since(start) > 4*cut {
		t.Errorf("without: %v after %v", err, time.Since(start))
	}
}
