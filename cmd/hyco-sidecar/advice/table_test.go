package advice

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// noStep are the entries that say nothing of what to do, and why.
var noStep = map[string]string{
	"healthy":      "nothing is wrong",
	"closed":       "nothing is wrong",
	"proxy_in_use": "nothing is wrong",

	"remote_closed": "what the target did",
	"app_reset":     "what the app did",
	"app_gave_up":   "what the app did; the error says what it did not wait for",
	"app_gone":      "what the app did",
	"cancelled":     "what the app did",
	"idle_timeout":  "as the settings say",
	"lingered":      "as the settings say",
	"shutdown":      "as the settings say",

	"dial_failed":         "its reason says it",
	"tunnel_dropped":      "the app connects again",
	"metadata_missing":    "the fault of the setting says it",
	"metadata_unusable":   "the fault of the setting says it",
	"port_not_bindable":   "the fault of the setting says it",
	"port_trap":           "the fault of the setting says it",
	"unfinished":          "check says it by what it saw",
	"name_not_configured": "check says it by what it saw",
	"dns_not_reaching":    "check says it by what it saw",
	"dns_wrong_address":   "check says it by what it saw",
	"listener_not_bound":  "check says it by what it saw",
	"listener_mismatch":   "the reason says it, or check by what it saw",
	"target_unreachable":  "the reason says it, or check by what it saw",
	"target_silent":       "check says it by what it saw",
	"target_tls_failed":   "check says it by what it saw",

	"resolv_conf_elsewhere": "preflight says it by what it saw",

	"DNS upstream does not answer":                         "the entry in the documentation has several steps",
	"DNS queries are refused: too many wait for upstreams": "the entry in the documentation has several steps",
	"connection closed":                                    "its labels and its error say it",
	"no token for a credential, using the other":           "its error says it",
	"no new Entra ID token, the old one is still valid":    "its error says it",
	"connections are not captured any more":                "its reason says it",
	"a changed secret is not used":                         "the line has the remedy of the setting's fault",
	"preflight":                                            "each finding says it",
	"exiting at once":                                      "somebody wanted it",
	"a part of the program failed: draining":               "it is started again",
}

func TestEveryEntryHasAStepOrNeedsNone(t *testing.T) {
	seen := make(map[string]bool)
	for _, group := range [][]entry{verdicts, reasons, lines} {
		for _, e := range group {
			if seen[e.name] {
				t.Errorf("%q is listed twice", e.name)
			}
			seen[e.name] = true
			_, none := noStep[e.name]
			if has := e.next != "" || e.facts != nil; has == none {
				t.Errorf("%q: has a step %t, is listed as having none %t", e.name, has, none)
			}
			if strings.HasSuffix(e.next, ".") || e.next != strings.TrimSpace(e.next) {
				t.Errorf("%q: %q is not half a sentence", e.name, e.next)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(noStep)) {
		if !seen[name] {
			t.Errorf("there is no entry %q", name)
		}
	}
}

func TestVerdictsHaveTheirCodes(t *testing.T) {
	all := Verdicts()
	if !slices.IsSortedFunc(all, func(a, b Verdict) int { return a.ExitCode - b.ExitCode }) {
		t.Errorf("not by exit code: %v", all)
	}
	for _, v := range all {
		if v.ExitCode < 0 || v.ExitCode > 125 { // shells give those above another meaning
			t.Errorf("%s has the exit code %d", v.Label, v.ExitCode)
		}
	}
	for _, e := range reasons {
		if e.verdict != "" && !slices.ContainsFunc(all, func(v Verdict) bool { return v.Label == e.verdict }) {
			t.Errorf("%s has the verdict %q, which is none", e.name, e.verdict)
		}
	}
	for reason, want := range map[string]string{
		"no_listener": "no_listener", "azbridge_version": "listener_mismatch", "opening_no_answer": "listener_mismatch",
		"target_dns_timeout": "target_unreachable", "other": "other",
	} {
		if got := VerdictOf(reason); got != want {
			t.Errorf("%s: got %s, want %s", reason, got, want)
		}
	}
}

func TestFailedAcceptsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		message string
		err     error
		want    string
	}{
		{"accept failed, retrying", syscall.EMFILE, "raise the limit of open files (ulimit -n): a connection takes two"},
		{"accept failed, retrying", syscall.ENFILE, "raise the limit of open files (ulimit -n): a connection takes two"},
		{"accept failed, retrying", io.EOF, "nothing, if it stops by itself: connections wait in the kernel's queue meanwhile"},
		{"DNS accept failed, retrying", syscall.EMFILE, "raise the limit of open files (ulimit -n)"},
		{"DNS accept failed, retrying", io.EOF, ""},
	} {
		if got := ForLine(test.message, "", "", test.err); got.Next != test.want || got.See != page+Anchor(test.message) {
			t.Errorf("%s, %v: got %+v, want %q", test.message, test.err, got, test.want)
		}
	}
}

func TestUnknownNamesHaveAPlaceToLook(t *testing.T) {
	if got := ForLine("it broke: twice", "", "", errors.New("it broke")); got != (Advice{See: page + "it-broke-twice"}) {
		t.Errorf("got %+v", got)
	}
	if got := NextFor("nothing"); got != "" {
		t.Errorf("got %q", got)
	}
}
