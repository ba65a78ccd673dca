package frame

import (
	"math"
	"testing"
)

func TestRow(t *testing.T) {
	for _, c := range []struct {
		figure Figure
		want   string
	}{
		{
			// The median of the ratios 0.5, 2 and 0.8 is not the ratio of the medians.
			Figure{Name: "a", Must: Bound{RatioAtLeast: 0.75}, values: [][]float64{{1000, 3000, 2000}, {2000, 1500, 2500}}},
			"| a | 2000 | 2000 | 0.8 | ≥ 0.75 × baseline | yes |\n",
		},
		{
			Figure{Name: "b", Must: Bound{RatioAtMost: 1.3}, values: [][]float64{{14}, {10}}},
			"| b | 14 | 10 | 1.4 | ≤ 1.3 × baseline | **no** |\n",
		},
		{
			Figure{Name: "c", Must: Bound{AtMost: 32, RatioAtMost: 1}, values: [][]float64{{31.25}, {30}}},
			"| c | 31.2 | 30 | 1.04 | ≤ 32, ≤ 1 × baseline | **no** |\n",
		},
		{
			Figure{Name: "d", Must: Bound{AtMost: 4.3}, values: [][]float64{{4.2, 4.1, 9, 4.25}, nil}},
			"| d | 4.22 | – | – | ≤ 4.3 | yes |\n",
		},
		{
			Figure{Name: "e", values: [][]float64{{120.4}, {0}}},
			"| e | 120 | 0 | – |  |  |\n",
		},
		{
			Figure{Name: "f", Must: Bound{RatioAtLeast: 0.75}, values: [][]float64{{100}, {math.Inf(1)}}},
			"| f | 100 | – | – | ≥ 0.75 × baseline | – |\n",
		},
		{
			Figure{Name: "g", Must: Bound{RatioAtLeast: 0.75}, values: [][]float64{nil, nil}},
			"| g | – | – | – | ≥ 0.75 × baseline | – |\n",
		},
	} {
		if got := c.figure.row([]string{"hyco-sidecar", "baseline"}); got != c.want {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

func TestRowOfThree(t *testing.T) {
	columns := []string{"hyco-sidecar", "dnsmasq", "unbound"}
	f := Figure{Name: "a", Must: Bound{RatioAtLeast: 1.2}, values: [][]float64{{30}, {20}, {40}}}
	want := "| figure | hyco-sidecar | dnsmasq | unbound | ratio to dnsmasq | ratio to unbound | must reach | ok |\n" +
		"|---|---|---|---|---|---|---|---|\n" +
		"| a | 30 | 20 | 40 | 1.5 | 0.75 | ≥ 1.2 × dnsmasq | yes |\n"
	if got := header(columns) + f.row(columns); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
