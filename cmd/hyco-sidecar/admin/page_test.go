package admin

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestThePageIsOneFileUnderAStrictPolicy(t *testing.T) {
	w := httptest.NewRecorder()
	servePage(w, httptest.NewRequest("GET", "/", nil))
	html := w.Body.String()
	for element, want := range map[string]int{"<style": 1, "<style>": 1, "<script": 1, "<script>": 1, "</script>": 1, "</style>": 1} {
		if got := strings.Count(html, element); got != want {
			t.Errorf("%d times %s, want %d: the policy has one hash for each", got, element, want)
		}
	}
	if found := regexp.MustCompile(`(?i)<[^>]+\s(style|on[a-z]+|src)=`).FindString(html); found != "" {
		t.Errorf("the policy forbids %s", found)
	}
	for _, unsafe := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
		if strings.Contains(html, unsafe) {
			t.Errorf("the page uses %s: text could become markup", unsafe)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	want := regexp.MustCompile(`^default-src 'none'; script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-[A-Za-z0-9+/]{43}='; connect-src 'self'; img-src data:; `)
	if !want.MatchString(policy) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if kind := w.Header().Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Errorf("type %q", kind)
	}
}
