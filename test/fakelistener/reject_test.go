package fakelistener_test

import (
	"fmt"
	"net/http"
	"testing"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// TestRejectionsAreAsTheLibrarys: what a sender sees of a rejection by an accept handler of
// the .NET library, for each status that was recorded, with a text and without. Without one
// the library sends the status's standard phrase, so that nothing tells the listener's
// refusal from the relay's but the missing tracking id.
func TestRejectionsAreAsTheLibrarys(t *testing.T) {
	for _, test := range []struct {
		status int
		phrase string
	}{
		{418, "I'm a teapot"}, {401, "Unauthorized by listener"}, {403, "no entry"}, {404, "not here"}, {503, "busy"}, {302, "moved"},
		{400, ""}, {401, ""}, {403, ""}, {404, ""}, {409, ""}, {429, ""}, {500, ""}, {503, ""}, {504, ""},
	} {
		want := fmt.Sprintf("%d %s", test.status, test.phrase)
		if test.phrase == "" {
			want = fmt.Sprintf("%d %s", test.status, http.StatusText(test.status))
		}
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			l := &fakelistener.Listener{Personality: fakelistener.Reject, RejectStatus: test.status, RejectPhrase: test.phrase}
			s := newSite(t, l, &fakerelay.Server{})
			if _, resp := s.connect(); resp.Status != want {
				t.Errorf("got %q, want %q", resp.Status, want)
			}
		})
	}
}
