package manifests_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// metric is what docs/metrics.md says about one: its type and its labels.
type metric struct {
	kind   string
	labels []string
}

var (
	metricRow  = regexp.MustCompile("(?m)^\\| `(hyco_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|")
	metricName = regexp.MustCompile(`\bhyco_[a-z_]+`)
	quoted     = regexp.MustCompile("`([a-z_]+)`")
	matchers   = regexp.MustCompile(`\b(hyco_[a-z_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
)

func documentedMetrics(t *testing.T) map[string]metric {
	t.Helper()
	metrics := make(map[string]metric)
	for _, row := range metricRow.FindAllStringSubmatch(read(t, "../../docs/metrics.md"), -1) {
		m := metric{kind: row[2]}
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, label[1])
		}
		metrics[row[1]] = m
	}
	if len(metrics) == 0 {
		t.Fatal("docs/metrics.md lists no metric")
	}
	return metrics
}

// checkExpression: every metric of ours that an expression uses exists and has
// the labels it is selected by.
func checkExpression(t *testing.T, metrics map[string]metric, expression string) {
	t.Helper()
	find := func(name string) (metric, bool) {
		if m, ok := metrics[name]; ok {
			return m, m.kind != "histogram"
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if m, ok := metrics[strings.TrimSuffix(name, suffix)]; ok && m.kind == "histogram" {
				m.labels = append(slices.Clone(m.labels), "le")
				return m, true
			}
		}
		return metric{}, false
	}
	for _, name := range metricName.FindAllString(expression, -1) {
		m, ok := find(name)
		if !ok {
			t.Errorf("there is no metric %s: %s", name, expression)
		}
		if strings.Contains(expression, "rate("+name) && m.kind == "gauge" {
			t.Errorf("%s is a gauge: %s", name, expression)
		}
	}
	for _, selector := range matchers.FindAllStringSubmatch(expression, -1) {
		m, _ := find(selector[1])
		for _, label := range matcher.FindAllStringSubmatch(selector[2], -1) {
			if !slices.Contains(append([]string{"job", "instance"}, m.labels...), label[1]) {
				t.Errorf("%s has no label %s: %s", selector[1], label[1], expression)
			}
		}
	}
}

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

func TestAlertsPassPromtoolsTests(t *testing.T) {
	promtool(t, "check", "rules", "rules.yaml")
	promtool(t, "test", "rules", "rules_test.yaml")
}

func TestAlertsUseMetricsThatExistAndEachIsTested(t *testing.T) {
	var rules ruleFile
	if err := yaml.UnmarshalStrict([]byte(read(t, deploy+"/prometheus/rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	metrics := documentedMetrics(t)
	tests := read(t, deploy+"/prometheus/rules_test.yaml")
	for _, r := range rules.Groups[0].Rules {
		checkExpression(t, metrics, r.Expr)
		if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
			t.Errorf("no test lets %s fire", r.Alert)
		}
		checkSee(t, r.Alert, r.Expr, r.Annotations["see"])
	}
}

// checkSee: what an alert refers to is there. A reference by the alert's label
// stands for each of the values it selects.
func checkSee(t *testing.T, alert, expression, see string) {
	t.Helper()
	file, anchor, _ := strings.Cut(see, "#")
	text := read(t, "../../"+file)
	anchors := []string{anchor}
	if strings.HasPrefix(anchor, "{{") {
		_, values, _ := strings.Cut(expression, `=~"`)
		values, _, _ = strings.Cut(values, `"`)
		anchors = strings.Split(values, "|")
	}
	for _, a := range anchors {
		heading := regexp.MustCompile("(?mi)^#+ `?" + regexp.QuoteMeta(a) + "`?$")
		if a != "" && !heading.MatchString(text) {
			t.Errorf("%s refers to %s#%s, which has no such heading", alert, file, a)
		}
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		missing(t, "promtool")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = deploy + "/prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// dashboard is as much of Grafana's format as ours has.
type dashboard struct {
	Title, UID, Description, Refresh, Timezone string
	Tags                                       []string
	SchemaVersion, Version, GraphTooltip       int
	Editable                                   bool
	Time                                       struct{ From, To string }
	Annotations                                struct{ List []any }
	Links                                      []any
	Templating                                 struct{ List []variable }
	Panels                                     []panel
}

type variable struct {
	Name, Label, Type, Definition, AllValue string
	Datasource                              datasource
	Query                                   any
	Current                                 map[string]any
	IncludeAll, Multi                       bool
	Refresh, Sort                           int
}

type datasource struct{ Type, UID string }

type panel struct {
	Type, Title, Description string
	ID                       int
	Collapsed                bool
	Panels                   []any
	Datasource               datasource
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct {
		Defaults  map[string]any
		Overrides []any
	}
	Options map[string]any
	Targets []struct {
		RefID, EditorMode, Expr, LegendFormat, Format string
		Datasource                                    datasource
		Instant, Range                                bool
	}
}

func TestDashboardCanBeImportedAndUsesMetricsThatExist(t *testing.T) {
	decoder := json.NewDecoder(strings.NewReader(read(t, deploy+"/grafana/dashboard.json")))
	decoder.DisallowUnknownFields()
	var d dashboard
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	metrics := documentedMetrics(t)
	source := datasource{"prometheus", "${datasource}"}
	var expressions []string
	used := make(map[string]bool)
	seen := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if seen[p.ID] {
			t.Errorf("%s has the id %d of another panel", p.Title, p.ID)
		}
		seen[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[cell] != "" || cell[0] >= 24 {
					t.Fatalf("%s overlaps %s or the edge at %v", p.Title, taken[cell], cell)
				}
				taken[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource != source || len(p.Targets) == 0 {
			t.Errorf("%s has the data source %v and %d queries", p.Title, p.Datasource, len(p.Targets))
		}
		for _, target := range p.Targets {
			checkExpression(t, metrics, target.Expr)
			expressions = append(expressions, target.Expr)
			if target.Datasource != source {
				t.Errorf("%s asks %v", p.Title, target.Datasource)
			}
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				used[strings.TrimSuffix(name, "_bucket")] = true
			}
		}
	}
	promQL(t, expressions)
	for name := range metrics {
		if !used[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			checkExpression(t, metrics, v.Definition)
		}
	}
	if want := []string{"datasource", "job", "instance", "endpoint"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %v, want %v", variables, want)
	}
}

// promQL lets promtool parse expressions as rules; Grafana's variables are values
// to it.
func promQL(t *testing.T, expressions []string) {
	t.Helper()
	var rules []any
	for _, e := range expressions {
		rules = append(rules, map[string]any{"record": "x", "expr": strings.ReplaceAll(e, "$__rate_interval", "5m")})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "x", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "expressions.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", path)
}
