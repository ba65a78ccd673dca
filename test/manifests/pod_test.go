package manifests_test

import (
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"hyco-sidecar/config"
)

const resolvConf = "/etc/resolv.conf"

// checkPod holds a pod to what makes the sidecar a native one that works without
// rights.
func checkPod(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	if len(spec.InitContainers) == 0 || spec.InitContainers[0].Name != "hyco-sidecar" {
		t.Fatalf("the sidecar is not the first init container: %v", spec.InitContainers)
	}
	c := spec.InitContainers[0]
	if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the sidecar's restartPolicy is not Always")
	}
	for kind, probe := range map[string]*corev1.Probe{"startupz": c.StartupProbe, "readyz": c.ReadinessProbe, "livez": c.LivenessProbe} {
		if probe == nil || probe.Exec == nil || !slices.Equal(probe.Exec.Command, []string{binary(t), "healthcheck", kind}) {
			t.Errorf("the probe for %s is %v", kind, probe)
		}
	}
	s := c.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser != 65532 || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation ||
		!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the sidecar's securityContext is %v", s)
	}
	lowPorts := corev1.Sysctl{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}
	if spec.SecurityContext == nil || !slices.Contains(spec.SecurityContext.Sysctls, lowPorts) {
		t.Error("the pod has no sysctl for low ports")
	}
	memory, cpu := c.Resources.Requests.Memory(), c.Resources.Requests.Cpu()
	if memory.IsZero() || cpu.IsZero() || c.Resources.Limits.Memory().Cmp(*memory) < 0 || !c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("the sidecar's resources are %v", c.Resources)
	}
	checkSecrets(t, spec)
	checkGrace(t, spec)
}

// checkCapture holds the init container that installs rules, where there is one, to the
// sidecar's settings and to one right, and takes it out of the pod.
func checkCapture(t *testing.T, objects []runtime.Object, spec *corev1.PodSpec) {
	t.Helper()
	first := spec.InitContainers[0]
	if first.Name != "hyco-capture" {
		return
	}
	rules := settings(t, objects, spec)
	spec.InitContainers = spec.InitContainers[1:]
	sidecar := settings(t, objects, spec)
	if rules.Capture != config.Redirect || sidecar.Capture != config.Redirect || rules.CapturePort != sidecar.CapturePort || !reflect.DeepEqual(rules.Connections, sidecar.Connections) {
		t.Errorf("the rules are of other settings: %v instead of %v", rules.Connections, sidecar.Connections)
	}
	s := first.SecurityContext
	if *s.RunAsUser != 0 || *s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation ||
		!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}) {
		t.Errorf("the securityContext of %s is %v", first.Name, s)
	}
	if !slices.Equal(first.Args, []string{"capture", "install"}) || len(first.Command) > 0 || first.RestartPolicy != nil || first.Image != spec.InitContainers[0].Image {
		t.Errorf("%s runs %v %v of %s, restartPolicy %v", first.Name, first.Command, first.Args, first.Image, first.RestartPolicy)
	}
}

// checkSecrets: connection strings come as files, and to the sidecar alone.
func checkSecrets(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	for i, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, e := range c.Env {
			if strings.Contains(e.Value, "SharedAccess") || e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				t.Errorf("%s has a secret in its environment: %s", c.Name, e.Name)
			}
		}
		for _, m := range c.VolumeMounts {
			if i > 0 && m.Name == "hyco-secrets" {
				t.Errorf("%s has the connection strings mounted", c.Name)
			}
		}
	}
}

// checkGrace: the sidecar gets its SIGTERM when the app has ended, and both share
// one grace period.
func checkGrace(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	grace := 30 * time.Second // Kubernetes' default
	if spec.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second
	}
	for _, e := range spec.InitContainers[0].Env {
		if e.Name != "HYCO_DRAIN_TIMEOUT" {
			continue
		}
		if drain, err := time.ParseDuration(e.Value); err != nil || drain > grace/2 {
			t.Errorf("HYCO_DRAIN_TIMEOUT %s leaves the app too little of %v", e.Value, grace)
		}
		return
	}
	t.Error("the sidecar's drain is not bounded")
}

// checkResolver: the app's only nameserver is the sidecar, with the cluster's
// search list, and the sidecar knows another one.
func checkResolver(t *testing.T, objects []runtime.Object, spec *corev1.PodSpec, namespace string) {
	t.Helper()
	if spec.DNSPolicy == corev1.DNSNone {
		if d := spec.DNSConfig; !slices.Equal(d.Nameservers, []string{"127.0.0.1"}) || !slices.Equal(d.Searches, searches(namespace)) {
			t.Errorf("dnsConfig is %v", spec.DNSConfig)
		}
		if !slices.ContainsFunc(environment(t, objects, spec), func(kv string) bool { return strings.HasPrefix(kv, "HYCO_DNS_UPSTREAMS=") }) {
			t.Error("dnsPolicy None without HYCO_DNS_UPSTREAMS")
		}
		return
	}
	for _, c := range spec.InitContainers {
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == resolvConf }) {
			t.Errorf("the init container %s has resolv.conf mounted, and the sidecar learns its upstreams from the cluster's", c.Name)
		}
	}
	for _, c := range spec.Containers {
		i := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == resolvConf })
		if i < 0 || c.VolumeMounts[i].SubPath != "resolv.conf" {
			t.Errorf("%s has no resolv.conf of its own: %v", c.Name, c.VolumeMounts)
			continue
		}
		file := configMap(t, objects, volume(t, spec, c.VolumeMounts[i].Name).ConfigMap.Name)["resolv.conf"]
		var nameservers, search []string
		for line := range strings.Lines(file) {
			switch f := strings.Fields(line); f[0] {
			case "nameserver":
				nameservers = append(nameservers, f[1:]...)
			case "search":
				search = f[1:]
			}
		}
		if !slices.Equal(nameservers, []string{"127.0.0.1"}) || !slices.Equal(search, searches(namespace)) {
			t.Errorf("resolv.conf has the nameservers %v and searches %v", nameservers, search)
		}
	}
}

func searches(namespace string) []string {
	return []string{namespace + ".svc.cluster.local", "svc.cluster.local", "cluster.local"}
}

func volume(t *testing.T, spec *corev1.PodSpec, name string) corev1.Volume {
	t.Helper()
	i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("there is no volume %s", name)
	}
	return spec.Volumes[i]
}

func configMap(t *testing.T, objects []runtime.Object, name string) map[string]string {
	t.Helper()
	for _, o := range objects {
		if m, ok := o.(*corev1.ConfigMap); ok && m.Name == name {
			return m.Data
		}
	}
	t.Fatalf("there is no ConfigMap %s", name)
	return nil
}

// settings are what the program makes of its environment.
func settings(t *testing.T, objects []runtime.Object, spec *corev1.PodSpec) config.Config {
	t.Helper()
	cfg, err := config.Load(environment(t, objects, spec))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// environment is what the kubelet gives the first init container, with its secrets'
// files in place. The program has to take it.
func environment(t *testing.T, objects []runtime.Object, spec *corev1.PodSpec) []string {
	t.Helper()
	c := spec.InitContainers[0]
	merged := make(map[string]string)
	for _, from := range c.EnvFrom {
		maps.Copy(merged, configMap(t, objects, from.ConfigMapRef.Name))
	}
	for _, e := range c.Env {
		merged[e.Name] = e.Value
	}
	var environ []string
	for name, value := range merged {
		for _, m := range c.VolumeMounts {
			if key, ok := strings.CutPrefix(value, m.MountPath+"/"); ok {
				value = path.Join(secretFiles(t, objects, volume(t, spec, m.Name).Secret.SecretName), key)
			}
		}
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load(environ)
	if err != nil {
		t.Errorf("the program refuses these settings: %v", err)
	} else if len(cfg.Connections) == 0 {
		t.Error("no endpoint is configured")
	}
	return environ
}

// binary is the program's path in the image.
func binary(t *testing.T) string {
	t.Helper()
	dockerfile := strings.TrimSpace(read(t, "../../Dockerfile"))
	_, entry, ok := strings.Cut(dockerfile[strings.LastIndex(dockerfile, "\n")+1:], `ENTRYPOINT ["`)
	if !ok {
		t.Fatal("the Dockerfile does not end with its ENTRYPOINT")
	}
	return strings.TrimSuffix(entry, `"]`)
}
