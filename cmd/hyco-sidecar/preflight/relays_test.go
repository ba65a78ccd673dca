package preflight

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

func TestSignatureThatEndsIsFoundAtTheStart(t *testing.T) {
	for _, test := range []struct {
		left        time.Duration
		level, text string
	}{
		{48 * time.Hour, "", ""},
		{time.Hour, levelWarning, "the SharedAccessSignature in HYCO_CONNECTION_STRING ends at "},
		{-time.Hour, levelError, "the SharedAccessSignature in HYCO_CONNECTION_STRING ended at "},
	} {
		cfg, err := config.Load([]string{
			fmt.Sprintf("HYCO_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessSignature=SharedAccessSignature sr=contoso&sig=c2ln&se=%d&skn=send",
				time.Now().Add(test.left).Unix()),
			"HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc,api.corp.example:443=api-hc",
		})
		if err != nil {
			t.Fatal(err)
		}
		found := (&Preflight{Plan: plan.New(cfg, nil)}).signatures(t.Context())
		switch {
		case test.text == "" && len(found) > 0:
			t.Errorf("%v: found %v", test.left, found)
		case test.text != "" && (len(found) != 1 || found[0].Code != "signature_ends_soon" || found[0].Level != test.level || !strings.HasPrefix(found[0].Text, test.text)):
			t.Errorf("%v: found %+v, want one of level %s: %s", test.left, found, test.level, test.text)
		}
	}
}
