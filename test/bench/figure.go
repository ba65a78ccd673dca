package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// figure is one line of the table.
type figure struct {
	name              string // with the unit
	must              bound
	sidecar, baseline []float64 // one value per round; no baseline where it has nothing alike
}

// bound is what a figure must reach; a zero field asks for nothing.
type bound struct {
	atMost       float64 // of the sidecar's value
	ratioAtMost  float64 // of sidecar to baseline
	ratioAtLeast float64
}

// ratio is the median of the rounds' ratios of sidecar to baseline. It is NaN
// where there is nothing to compare.
func (f *figure) ratio() float64 {
	var ratios []float64
	for i := range min(len(f.sidecar), len(f.baseline)) {
		ratios = append(ratios, f.sidecar[i]/f.baseline[i])
	}
	if !finite(median(f.baseline)) {
		return math.NaN()
	}
	return median(ratios)
}

// ok reports whether the medians reach what they must.
func (f *figure) ok() bool {
	m, ratio := f.must, f.ratio()
	return !(m.atMost != 0 && !(median(f.sidecar) <= m.atMost) ||
		m.ratioAtMost != 0 && !(ratio <= m.ratioAtMost) ||
		m.ratioAtLeast != 0 && !(ratio >= m.ratioAtLeast))
}

// known is false where the bound asks for what was not measured, or was too
// little to be.
func (f *figure) known() bool {
	compared := f.must.ratioAtMost != 0 || f.must.ratioAtLeast != 0
	return finite(median(f.sidecar)) && (!compared || finite(f.ratio()))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// median is NaN for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (m bound) String() string {
	var parts []string
	if m.atMost != 0 {
		parts = append(parts, "≤ "+number(m.atMost))
	}
	if m.ratioAtMost != 0 {
		parts = append(parts, "≤ "+number(m.ratioAtMost)+" × baseline")
	}
	if m.ratioAtLeast != 0 {
		parts = append(parts, "≥ "+number(m.ratioAtLeast)+" × baseline")
	}
	return strings.Join(parts, ", ")
}

// row is the figure as a line of a Markdown table.
func (f *figure) row() string {
	verdict := ""
	switch {
	case f.must == bound{}:
	case !f.known():
		verdict = "–"
	case f.ok():
		verdict = "yes"
	default:
		verdict = "**no**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n",
		f.name, number(median(f.sidecar)), number(median(f.baseline)), number(f.ratio()), f.must, verdict)
}

// number prints three significant digits, as far as they stand behind the
// point, and – for nothing.
func number(v float64) string {
	switch size := math.Abs(v); {
	case !finite(v):
		return "–"
	case size >= 99.5:
		return fmt.Sprintf("%.0f", v)
	case size >= 9.95:
		return trim(fmt.Sprintf("%.1f", v))
	default:
		return trim(fmt.Sprintf("%.2f", v))
	}
}

// trim takes zeros off the end of a decimal fraction.
func trim(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }
