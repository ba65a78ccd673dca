package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// printed is what dnsperf 2.10.0 prints with -v.
const printed = `DNS Performance Testing Tool
Version 2.10.0

[Status] Command line: dnsperf -s 127.77.200.1 -p 5399 -v
[Status] Sending queries (to 127.77.200.1:5399)
> NOERROR db00.corp.contoso.net A 0.000187
> NOERROR db01.corp.contoso.net A 0.000022
> NOERROR db02.corp.contoso.net A 0.000084
> T db03.corp.contoso.net A
[Status] Testing complete (time limit)

Statistics:

  Queries sent:         4
  Queries completed:    3 (75.00%)
  Queries lost:         1 (25.00%)

  Response codes:       NOERROR 3 (100.00%)
  Average packet size:  request 38, response 54
  Run time (s):         1.500106
  Queries per second:   1.999859

  Average Latency (s):  0.000126 (min 0.000011, max 0.004701)
  Latency StdDev (s):   0.000365

`

func TestOutcomeIsWhatDnsperfPrints(t *testing.T) {
	got, err := parseOutcome(printed)
	if err != nil {
		t.Fatal(err)
	}
	if got.sent != 4 || got.completed != 3 || got.lost != 1 || got.took != 1500106*time.Microsecond {
		t.Errorf("got %+v", got)
	}
	slices.Sort(got.latencies)
	if want := []float64{22, 84, 187}; !slices.EqualFunc(got.latencies, want, func(a, b float64) bool { return int(a+.5) == int(b) }) {
		t.Errorf("latencies %v, want %v", got.latencies, want)
	}
}

func TestAnswersOtherThanNOERRORAreAnError(t *testing.T) {
	for _, codes := range []string{"NOERROR 2 (66.67%), SERVFAIL 1 (33.33%)", "NXDOMAIN 3 (100.00%)"} {
		_, err := parseOutcome(strings.Replace(printed, "NOERROR 3 (100.00%)", codes, 1))
		if err == nil || !strings.Contains(err.Error(), codes) {
			t.Errorf("%s: got %v", codes, err)
		}
	}
}

func TestOutputWithoutStatisticsIsAnError(t *testing.T) {
	before, _, _ := strings.Cut(printed, "  Run time")
	for _, output := range []string{"", before} {
		if o, err := parseOutcome(output); err == nil {
			t.Errorf("%q: got %+v", output, o)
		}
	}
}

func TestLostQuestionsAreTheSlowest(t *testing.T) {
	o := &outcome{}
	for range 2 {
		o.add(&outcome{sent: 50, completed: 49, lost: 1, took: time.Second, cpu: time.Second / 2, latencies: slices.Repeat([]float64{100}, 49)})
	}
	if got := []float64{o.latency(0.5), o.latency(0.99), o.perSecond(), o.perCPUSecond()}; !slices.Equal(got, []float64{100, 1e6, 49, 98}) {
		t.Errorf("p50, p99, queries/s and per CPU-second are %v", got)
	}
}
