//go:build linux

package world

import "testing"

func TestDiffNamesWhatHasChanged(t *testing.T) {
	before := map[string]int{"same": 1, "gone": 2, "more": 3, "was zero": 0}
	after := map[string]int{"same": 1, "more": 4, "come": 0, "was zero": 0}
	if got, want := Diff(before, after), "+ come: 0\n- gone: 2\n- more: 3\n+ more: 4\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Diff(before, before); got != "" {
		t.Errorf("of equal maps: got\n%s", got)
	}
}
