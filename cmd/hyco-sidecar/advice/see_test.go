package advice

import "testing"

func TestAHeadingsAnchorIsGitHubs(t *testing.T) {
	for heading, want := range map[string]string{
		"accept failed, retrying":                        "accept-failed-retrying",
		"connections have to wait: the limit is reached": "connections-have-to-wait-the-limit-is-reached",
		"DNS queries fail: raise the limit (ulimit -n)":  "dns-queries-fail-raise-the-limit-ulimit--n",
		"`no_listener`": "no_listener",
		"DNS queries are refused: too many wait – upstreams": "dns-queries-are-refused-too-many-wait--upstreams",
		"Überall": "überall",
	} {
		if got := Anchor(heading); got != want {
			t.Errorf("%q: got %q, want %q", heading, got, want)
		}
	}
}
