package test_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	citation = regexp.MustCompile(`docs/([a-z-]+\.md)\s+§(\d+(?:\.\d+)*)`)
	section  = regexp.MustCompile(`(?m)^#{2,3} (\d+(?:\.\d+)*)\.? `)
)

// TestCitedSectionsExist: a comment names a section of a page in docs/ by its
// number, which has to be there as a heading.
func TestCitedSectionsExist(t *testing.T) {
	sections := make(map[string][]string)
	cited := 0
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			text := group.Text()
			if strings.Contains(text, "PROTOCOL"+" §") {
				t.Errorf("%s cites PROTOCOL: the notes are docs/relay-protocol.md", s.path)
			}
			for _, m := range citation.FindAllStringSubmatch(text, -1) {
				cited++
				page, number := m[1], m[2]
				if sections[page] == nil {
					sections[page] = sectionsOf(t, page)
				}
				if !slices.Contains(sections[page], number) {
					t.Errorf("%s cites docs/%s §%s, which has no such heading", s.path, page, number)
				}
			}
		}
	}
	if cited < 6 {
		t.Errorf("found %d citations: this test looks in the wrong place", cited)
	}
}

// sectionsOf returns the numbers of the headings of a page in docs/.
func sectionsOf(t *testing.T, page string) []string {
	t.Helper()
	numbers := []string{"none"} // so that a page without sections is read once
	text, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Error(err)
	}
	for _, m := range section.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
		numbers = append(numbers, m[1])
	}
	return numbers
}
