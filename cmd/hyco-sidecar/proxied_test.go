package main

import (
	"net/url"
	"testing"
)

func TestProxyIsShownWithoutItsPassword(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy.corp.example:3128":                  "http://proxy.corp.example:3128",
		"https://corp%5Capp:hu%3Ash@proxy.corp.example":   "https://proxy.corp.example, with credentials",
		"socks5://app@[2001:db8::1]:1080":                 "socks5://[2001:db8::1]:1080, with credentials",
		"http://app:hush@proxy.corp.example:3128/?x=hush": "http://proxy.corp.example:3128, with credentials",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := describeProxy(u); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := describeProxy(nil); got != "none" {
		t.Errorf("got %q without a proxy", got)
	}
}
