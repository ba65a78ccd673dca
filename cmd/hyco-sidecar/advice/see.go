package advice

import (
	"strings"
	"unicode"
)

// page has an entry for every label, and for every line of the log that warns.
const page = "docs/troubleshooting.md#"

// See is where the documentation explains a label.
func See(label string) string { return page + label }

// see is where the documentation explains a label, or a line of the log by its
// message.
func see(name string) string {
	if e := byName[name]; e != nil {
		return e.see
	}
	return page + Anchor(name)
}

// Anchor is the fragment that GitHub makes of a heading: letters in lower case,
// digits, underscores and hyphens stay, spaces become hyphens, the rest goes. A
// label is its own anchor.
func Anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
