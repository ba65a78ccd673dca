package manifests_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/config"
)

var (
	setting      = regexp.MustCompile(`\bHYCO_[A-Z0-9_]*[A-Z0-9]`)
	settingIndex = regexp.MustCompile(`^HYCO_CONNECTION_\d+_`)
)

func TestEverySettingThatIsNamedExists(t *testing.T) {
	known := make(map[string]bool)
	for _, s := range config.Settings() {
		known[s.Name] = true
	}
	named := 0
	check := func(path string) {
		for _, name := range setting.FindAllString(read(t, path), -1) {
			named++
			if !known[settingIndex.ReplaceAllString(name, "HYCO_CONNECTION_N_")] {
				t.Errorf("%s names %s, which is no setting", path, name)
			}
		}
	}
	check("../../README.md")
	err := filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			check(path)
		}
		return err
	})
	if err != nil || named < 50 {
		t.Errorf("%d settings were found: %v", named, err)
	}
}

// TestContainerAppsSettingsAreAccepted reads main.bicep as text, for want of a
// compiler: what it sets, what its parameters are by default, and who has
// resolv.conf.
func TestContainerAppsSettingsAreAccepted(t *testing.T) {
	text := read(t, deploy+"/containerapps/main.bicep")
	parameters := make(map[string]string)
	for _, p := range regexp.MustCompile(`(?m)^param (\w+) \w+ = '([^'\n]+)'$`).FindAllStringSubmatch(text, -1) {
		parameters[p[1]] = p[2]
	}
	key := filepath.Join(t.TempDir(), "connectionString")
	if err := os.WriteFile(key, []byte("Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=a2V5"), 0o600); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, e := range regexp.MustCompile(`name: '([A-Z_]+)'\s+value: (?:'([^']*)'|(\w+))`).FindAllStringSubmatch(text, -1) {
		value := e[2] + parameters[e[3]]
		if value == "/run/secrets/hyco-sidecar/connectionString" {
			value = key
		}
		environ = append(environ, e[1]+"="+value)
	}
	if _, err := config.Load(environ); err != nil {
		t.Errorf("the program refuses these settings: %v", err)
	}
	if !slices.Contains(environ, "HYCO_CONNECTION_STRING_FILE="+key) || !slices.Contains(environ, "HYCO_DNS_UPSTREAMS=127.0.0.11") {
		t.Errorf("the settings are %v", environ)
	}
	if strings.Contains(text, "SharedAccess") || !strings.Contains(text, "@secure()\n") {
		t.Error("the connection string is no secure parameter")
	}
	_, file, _ := strings.Cut(text, "param resolvConf string = '''\n")
	if !strings.HasPrefix(file, "nameserver 127.0.0.1\nsearch ") {
		t.Errorf("resolv.conf is %.60q", file)
	}
	app, sidecar, _ := strings.Cut(text[strings.Index(text, "containers: ["):], "name: 'hyco-sidecar'")
	if !strings.Contains(app, "mountPath: '"+resolvConf+"'") || strings.Contains(sidecar, resolvConf) {
		t.Error("resolv.conf is not mounted into the app's container alone")
	}
	for _, pair := range []string{"{}", "[]", "()"} {
		if strings.Count(text, pair[:1]) != strings.Count(text, pair[1:]) {
			t.Errorf("the %s do not match", pair)
		}
	}
}
