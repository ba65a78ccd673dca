package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// index matches the variables of the indexed form.
var index = regexp.MustCompile(`^HYCO_CONNECTION_(0|[1-9]\d{0,3})_(.+)$`)

// serviceLink matches what Kubernetes sets for a Service whose name begins with
// "hyco". A plain _PORT is only one when its value is a URL.
var serviceLink = regexp.MustCompile(`^HYCO(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

var serviceURL = regexp.MustCompile(`^(tcp|udp|sctp)://`)

func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && serviceURL.MatchString(value)
}

// environment is the part of the process environment that has settings.
type environment struct {
	values  map[string]string // trimmed, without empty ones; indices renumbered from 0 without gaps
	indices []int             // the index as written, by position
	files   map[string]string // paths from _FILE variables, by the variable that each file is for
	faulty  map[string]bool   // variables whose file could not be used; a fault was reported for the _FILE variable
}

// readEnvironment takes the settings out of environ, replaces _FILE variables by the
// files' content, and reports unknown variables and missing indices to f.
func readEnvironment(environ []string, readFile func(path string) (string, error), f *faults) environment {
	given := make(map[string]string)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		value = strings.TrimSpace(value)
		if strings.HasPrefix(name, "HYCO_") && value != "" && !isServiceLink(name, value) {
			given[name] = value
		}
	}
	known := make(map[string]bool)
	for _, s := range Settings() {
		known[s.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case strings.HasPrefix(name, "HYCO_CONNECTION_N_"):
			f.add(name, "write for example HYCO_CONNECTION_0_"+strings.TrimPrefix(name, "HYCO_CONNECTION_N_"), "N stands for a number")
			delete(given, name)
		case !known[generic(name)]:
			f.add(name, suggestion(name, known), "no such setting")
			delete(given, name)
		}
	}
	faulty, files := readFiles(given, readFile, f)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if v := given[name]; len(v) > 1 && v[0] == v[len(v)-1] && strings.Contains(`"'`, v[:1]) {
			f.add(name, "remove the quotes", "the value is wrapped in quotes")
			given[name] = strings.TrimSpace(v[1 : len(v)-1]) // so that the text inside is checked too
		}
	}
	env := renumber(given, f)
	env.faulty, env.files = faulty, files
	return env
}

// generic replaces the index by N: HYCO_CONNECTION_3_ENDPOINT becomes
// HYCO_CONNECTION_N_ENDPOINT. A name whose index has leading zeros stays as it is.
func generic(name string) string {
	if m := index.FindStringSubmatch(name); m != nil {
		return "HYCO_CONNECTION_N_" + m[2]
	}
	return name
}

// readFiles replaces every X_FILE in given by X with the file's content. Faulty has
// the X whose file could not be used, files the path for each X.
func readFiles(given map[string]string, readFile func(path string) (string, error), f *faults) (faulty map[string]bool, files map[string]string) {
	faulty, files = make(map[string]bool), make(map[string]string)
	twins := secretTwins()
	for _, twin := range slices.Sorted(maps.Keys(given)) {
		name, ok := strings.CutSuffix(twin, "_FILE")
		if !ok || !twins[generic(name)] {
			continue
		}
		path := given[twin]
		delete(given, twin)
		files[name] = path
		if given[name] != "" {
			f.add(twin, "keep one of the two", "%s is set as well", name)
			continue
		}
		content, err := readFile(path)
		switch value := strings.TrimSpace(strings.TrimPrefix(content, "\ufeff")); {
		case err != nil:
			f.add(twin, "name a file that this user may read", "cannot read %s: %s", show(path), reason(err))
			faulty[name] = true
		case value == "":
			f.add(twin, "put the connection string into it", "%s is empty", show(path))
			faulty[name] = true
		default:
			given[name] = value
		}
	}
	return faulty, files
}

// ReadFile returns the content of a regular file. Others are an error: reading a pipe
// could block for ever.
func ReadFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	content, err := os.ReadFile(path)
	return string(content), err
}

// reason returns the text of a file error without the path, which the fault shows.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// renumber closes the gaps between indices, so that the groups after a gap are
// checked too, and reports each gap to f.
func renumber(given map[string]string, f *faults) environment {
	seen := make(map[int]bool)
	for name := range given {
		if m := index.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1]) // four digits at most
			seen[n] = true
		}
	}
	env := environment{values: make(map[string]string), indices: slices.Sorted(maps.Keys(seen))}
	position := make(map[string]int)
	for i, n := range env.indices {
		position[strconv.Itoa(n)] = i
		if n != i && (i == 0 || env.indices[i-1] != n-1) {
			first := 0
			if i > 0 {
				first = env.indices[i-1] + 1
			}
			missing := fmt.Sprintf("HYCO_CONNECTION_%d_… is", first)
			if n-1 > first {
				missing = fmt.Sprintf("HYCO_CONNECTION_%d_… to HYCO_CONNECTION_%d_… are", first, n-1)
			}
			f.add(fmt.Sprintf("HYCO_CONNECTION_%d_…", n), "number the groups from 0 without gaps", "%s missing before it", missing)
		}
	}
	for name, value := range given {
		if m := index.FindStringSubmatch(name); m != nil {
			name = fmt.Sprintf("HYCO_CONNECTION_%d_%s", position[m[1]], m[2])
		}
		env.values[name] = value
	}
	return env
}

// suggestion returns the remedy for an unknown variable: the known setting with the
// smallest edit distance, if it is near enough.
func suggestion(name string, known map[string]bool) string {
	looked := generic(name)
	best, distance := "", len(looked)/3+1
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if d := editDistance(looked, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return "remove it, or see `hyco-sidecar help` for the settings"
	}
	n := "0"
	if m := index.FindStringSubmatch(name); m != nil {
		n = m[1]
	}
	best = strings.Replace(best, "_N_", "_"+n+"_", 1)
	return "did you mean " + best + "?"
}

// editDistance returns the Levenshtein distance of a and b, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
