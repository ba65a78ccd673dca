package manifests_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"hyco-sidecar/config"
	"hyco-sidecar/test/fakerelay"
)

// composeProject parses compose.yaml as `docker compose config` does: against
// the specification's schema, so that an unknown field is a fault.
func composeProject(t *testing.T) *types.Project {
	t.Helper()
	path, err := filepath.Abs(deploy + "/compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  filepath.Dir(path),
		ConfigFiles: []types.ConfigFile{{Filename: path}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.ResolvePaths = true })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeFileIsStrictlyValid(t *testing.T) {
	p := composeProject(t)
	sidecar, app := p.Services["hyco-sidecar"], p.Services["app"]
	if app.NetworkMode != "service:hyco-sidecar" {
		t.Errorf("the app's network is %q", app.NetworkMode)
	}
	if d := app.DependsOn["hyco-sidecar"]; d.Condition != types.ServiceConditionHealthy || !d.Restart {
		t.Errorf("the app depends on the sidecar by %+v", d)
	}
	if !sidecar.ReadOnly || !slices.Equal(sidecar.CapDrop, []string{"ALL"}) || !slices.Contains(sidecar.SecurityOpt, "no-new-privileges:true") || sidecar.Privileged {
		t.Errorf("the sidecar's rights are %v, %v", sidecar.CapDrop, sidecar.SecurityOpt)
	}
	if h := sidecar.HealthCheck; h == nil || !slices.Equal(h.Test, []string{"CMD", binary(t), "healthcheck"}) {
		t.Errorf("the sidecar's health check is %v", h)
	}
	if grace := time.Duration(*sidecar.StopGracePeriod); grace <= 25*time.Second {
		t.Errorf("stop_grace_period %v cuts the drain of 25s off", grace)
	}
	for name, s := range p.Services {
		for variable, value := range s.Environment {
			if value != nil && strings.Contains(*value, "SharedAccess") {
				t.Errorf("%s has a secret in its environment: %s", name, variable)
			}
		}
		i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == resolvConf })
		switch {
		case name != "app" && i >= 0:
			t.Errorf("%s has resolv.conf mounted", name)
		case name == "app" && (i < 0 || !s.Volumes[i].ReadOnly || read(t, s.Volumes[i].Source) != "nameserver 127.0.0.1\n"):
			t.Errorf("the app's mounts are %v", s.Volumes)
		}
	}
	if _, ok := p.Services["orders"].Networks["outside"]; ok {
		t.Error("the private server is in the app's network, so that the example shows nothing")
	}
	// The stages that the images are built from.
	for _, name := range []string{"hyco-sidecar", "devrelay"} {
		if b := p.Services[name].Build; b == nil || !strings.Contains(read(t, filepath.Join(b.Context, "Dockerfile")), " AS "+b.Target+"\n") {
			t.Errorf("%s is built from %+v", name, b)
		}
	}
}

func TestComposeSettingsAreAccepted(t *testing.T) {
	p := composeProject(t)
	pem := filepath.Join(t.TempDir(), "ca.pem")
	_, ca, err := fakerelay.NewCertificate("devrelay")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pem, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	environ := serviceEnvironment(p.Services["hyco-sidecar"])
	for i, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok {
			environ[i] = name + "=" + p.Secrets[secret].File
		}
		if value == "/relay/ca.pem" {
			environ[i] = name + "=" + pem
		}
	}
	if _, err := config.Load(environ); err != nil {
		t.Errorf("the program refuses these settings: %v", err)
	}
}

func serviceEnvironment(s types.ServiceConfig) []string {
	var environ []string
	for name, value := range s.Environment {
		if value != nil {
			environ = append(environ, name+"="+*value)
		}
	}
	return environ
}

// startOrder is the services with each one's dependencies before it.
func startOrder(t *testing.T, p *types.Project) []string {
	t.Helper()
	var order []string
	err := p.ForEachService(nil, func(name string, _ *types.ServiceConfig) error {
		order = append(order, name)
		return nil
	}, types.IncludeDependencies)
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// healthy runs a service's health check until it passes.
func healthy(ctx context.Context, t *testing.T, c *container) {
	t.Helper()
	if c.service.HealthCheck == nil {
		return
	}
	test := c.service.HealthCheck.Test
	argv := test[1:]
	if test[0] == "CMD-SHELL" {
		argv = []string{"/bin/sh", "-c", test[1]}
	}
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		out, code := c.exec(ctx, t, argv)
		if code == 0 {
			return
		}
		select {
		case <-every.C:
		case <-c.process.Ended():
			t.Fatalf("%s has ended:\n%s", c.service.Name, c.process.Stderr.Tail(4000))
		case <-ctx.Done():
			t.Fatalf("%s is not healthy: exit code %d, %s\nits log:\n%s", c.service.Name, code, out, c.process.Stderr.Tail(4000))
		}
	}
}
