package main

import (
	"math"
	"testing"
)

func TestRow(t *testing.T) {
	for _, c := range []struct {
		figure figure
		want   string
	}{
		{
			// The median of the ratios 0.5, 2 and 0.8 is not the ratio of the medians.
			figure{name: "a", must: bound{ratioAtLeast: 0.75}, sidecar: []float64{1000, 3000, 2000}, baseline: []float64{2000, 1500, 2500}},
			"| a | 2000 | 2000 | 0.8 | ≥ 0.75 × baseline | yes |\n",
		},
		{
			figure{name: "b", must: bound{ratioAtMost: 1.3}, sidecar: []float64{14}, baseline: []float64{10}},
			"| b | 14 | 10 | 1.4 | ≤ 1.3 × baseline | **no** |\n",
		},
		{
			figure{name: "c", must: bound{atMost: 32, ratioAtMost: 1}, sidecar: []float64{31.25}, baseline: []float64{30}},
			"| c | 31.2 | 30 | 1.04 | ≤ 32, ≤ 1 × baseline | **no** |\n",
		},
		{
			figure{name: "d", must: bound{atMost: 4.3}, sidecar: []float64{4.2, 4.1, 9, 4.25}},
			"| d | 4.22 | – | – | ≤ 4.3 | yes |\n",
		},
		{
			figure{name: "e", sidecar: []float64{120.4}, baseline: []float64{0}},
			"| e | 120 | 0 | – |  |  |\n",
		},
		{
			figure{name: "f", must: bound{ratioAtLeast: 0.75}, sidecar: []float64{100}, baseline: []float64{math.Inf(1)}},
			"| f | 100 | – | – | ≥ 0.75 × baseline | – |\n",
		},
		{
			figure{name: "g", must: bound{ratioAtLeast: 0.75}},
			"| g | – | – | – | ≥ 0.75 × baseline | – |\n",
		},
	} {
		if got := c.figure.row(); got != c.want {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}
