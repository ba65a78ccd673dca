package main

import (
	"slices"
	"testing"

	"hyco-sidecar/config"
)

func TestRelaysAreNamedAsTheResolverIsAsked(t *testing.T) {
	got := relays([]config.Connection{
		{Namespace: "contoso.servicebus.windows.net"},
		{Namespace: "fabrikam.servicebus.example:8443"},
	})
	if want := []string{"contoso.servicebus.windows.net", "fabrikam.servicebus.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
