//go:build linux

package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Diff returns how before became after, a line per difference in the order of the keys:
// with - what has gone, with + what has come, and both where a key's value has changed.
// It is empty when the maps are equal.
func Diff[V comparable](before, after map[string]V) string {
	all := make(map[string]V)
	maps.Copy(all, before)
	maps.Copy(all, after)
	var diff strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, had := before[key]
		is, has := after[key]
		if had && has && was == is {
			continue
		}
		if had {
			fmt.Fprintf(&diff, "- %s: %v\n", key, was)
		}
		if has {
			fmt.Fprintf(&diff, "+ %s: %v\n", key, is)
		}
	}
	return diff.String()
}
