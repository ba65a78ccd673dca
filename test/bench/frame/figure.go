package frame

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Figure is one line of the table.
type Figure struct {
	Name string // with the unit
	Must Bound

	values [][]float64 // by column, one value per round; none where a column has nothing alike
}

// Bound is what a figure must reach; a zero field asks for nothing. Ratios are
// those of the first column to the second.
type Bound struct {
	AtMost       float64 // of the first column's value
	RatioAtMost  float64
	RatioAtLeast float64
}

// Add adds a round's value of the column with this index.
func (f *Figure) Add(column int, value float64) {
	f.values[column] = append(f.values[column], value)
}

// ratio is the median of the rounds' ratios of the first column to this one. It
// is NaN where there is nothing to compare.
func (f *Figure) ratio(column int) float64 {
	subject, other := f.values[0], f.values[column]
	var ratios []float64
	for i := range min(len(subject), len(other)) {
		ratios = append(ratios, subject[i]/other[i])
	}
	if !finite(Median(other)) {
		return math.NaN()
	}
	return Median(ratios)
}

// ok reports whether the medians reach what they must.
func (f *Figure) ok() bool {
	m, ratio := f.Must, f.ratio(1)
	return !(m.AtMost != 0 && !(Median(f.values[0]) <= m.AtMost) ||
		m.RatioAtMost != 0 && !(ratio <= m.RatioAtMost) ||
		m.RatioAtLeast != 0 && !(ratio >= m.RatioAtLeast))
}

// known is false where the bound asks for what was not measured, or was too
// little to be.
func (f *Figure) known() bool {
	compared := f.Must.RatioAtMost != 0 || f.Must.RatioAtLeast != 0
	return finite(Median(f.values[0])) && (!compared || finite(f.ratio(1)))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Median is NaN for no values.
func Median(values []float64) float64 {
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

// text is the bound for a reader; other is the second column.
func (m Bound) text(other string) string {
	var parts []string
	if m.AtMost != 0 {
		parts = append(parts, "≤ "+Number(m.AtMost))
	}
	if m.RatioAtMost != 0 {
		parts = append(parts, "≤ "+Number(m.RatioAtMost)+" × "+other)
	}
	if m.RatioAtLeast != 0 {
		parts = append(parts, "≥ "+Number(m.RatioAtLeast)+" × "+other)
	}
	return strings.Join(parts, ", ")
}

// row is the figure as a line of a Markdown table with these columns.
func (f *Figure) row(columns []string) string {
	verdict := ""
	switch {
	case f.Must == Bound{}:
	case !f.known():
		verdict = "–"
	case f.ok():
		verdict = "yes"
	default:
		verdict = "**no**"
	}
	cells := []string{f.Name}
	for _, values := range f.values {
		cells = append(cells, Number(Median(values)))
	}
	for i := 1; i < len(columns); i++ {
		cells = append(cells, Number(f.ratio(i)))
	}
	cells = append(cells, f.Must.text(columns[1]), verdict)
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// header is the head of the table.
func header(columns []string) string {
	cells := append([]string{"figure"}, columns...)
	if len(columns) == 2 {
		cells = append(cells, "ratio")
	} else {
		for _, other := range columns[1:] {
			cells = append(cells, "ratio to "+other)
		}
	}
	cells = append(cells, "must reach", "ok")
	return "| " + strings.Join(cells, " | ") + " |\n" + strings.Repeat("|---", len(cells)) + "|\n"
}

// Number prints three significant digits, as far as they stand behind the
// point, and – for nothing.
func Number(v float64) string {
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
