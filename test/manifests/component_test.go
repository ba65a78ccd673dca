package manifests_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// inMemory is deploy/kubernetes with further files beside it.
func inMemory(t *testing.T, files map[string]string) filesys.FileSystem {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	err := filepath.WalkDir(kubernetes, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return fs.WriteFile("/deploy/"+strings.TrimPrefix(path, kubernetes+"/"), []byte(read(t, path)))
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if err := fs.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// user is a kustomization that uses the component as its comment asks for.
const user = `
namespace: shop
resources: [workloads.yaml]
components: [../deploy/component]
configMapGenerator:
  - {name: hyco-sidecar, literals: ["HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc", HYCO_CONNECTION_STRING_FILE=/run/secrets/hyco-sidecar/key]}
  - {name: hyco-resolv-conf, literals: ["resolv.conf=nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local"]}
secretGenerator:
  - {name: hyco-sidecar, literals: ["key=Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=a2V5"]}
`

// busy is a pod template that already has what the component adds to.
const busy = `
template:
  metadata: {labels: {app: x}}
  spec:
    restartPolicy: RESTART
    securityContext: {fsGroup: 1000}
    initContainers:
      - {name: migrate, image: busybox}
    containers:
      - {name: web, image: busybox, volumeMounts: [{name: data, mountPath: /data}]}
      - {name: worker, image: busybox}
    volumes:
      - {name: data, emptyDir: {}}
`

// workload is one with a busy pod, depth spaces deep.
func workload(apiVersion, kind, restart, spec string, depth int) string {
	pod := strings.ReplaceAll(strings.ReplaceAll(busy, "RESTART", restart), "\n", "\n"+strings.Repeat(" ", depth))
	return "---\napiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + strings.ToLower(kind) +
		", annotations: {hyco-sidecar/inject: \"true\"}}\nspec:\n  " + spec + pod + "\n"
}

func TestComponentKeepsWhatAWorkloadHas(t *testing.T) {
	workloads := workload("apps/v1", "Deployment", "Always", "selector: {matchLabels: {app: x}}", 2) +
		workload("apps/v1", "StatefulSet", "Always", "serviceName: x\n  selector: {matchLabels: {app: x}}", 2) +
		workload("apps/v1", "DaemonSet", "Always", "selector: {matchLabels: {app: x}}", 2) +
		workload("batch/v1", "Job", "Never", "backoffLimit: 2", 2) +
		workload("batch/v1", "CronJob", "Never", "schedule: '@daily'\n  jobTemplate:\n    spec:", 6)
	objects := render(t, inMemory(t, map[string]string{"/user/kustomization.yaml": user, "/user/workloads.yaml": workloads}), "/user")
	pods := 0
	for _, o := range objects {
		spec, name, namespace := template(o)
		if spec == nil {
			continue
		}
		pods++
		t.Run(name, func(t *testing.T) {
			checkPod(t, spec)
			checkResolver(t, objects, spec, namespace)
			environment(t, objects, spec)
			if len(spec.InitContainers) != 2 || spec.InitContainers[1].Name != "migrate" {
				t.Errorf("the init containers are %v", spec.InitContainers)
			}
			if len(spec.Containers) != 2 || !slices.ContainsFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/data" }) {
				t.Errorf("the containers are %v", spec.Containers)
			}
			if len(spec.Volumes) != 3 || *spec.SecurityContext.FSGroup != 1000 {
				t.Errorf("the volumes are %v, the securityContext %v", spec.Volumes, spec.SecurityContext)
			}
		})
	}
	if pods != 5 {
		t.Errorf("%d workloads, want 5", pods)
	}
}

func TestComponentLeavesOtherWorkloadsAlone(t *testing.T) {
	plain := strings.ReplaceAll(read(t, kubernetes+"/app/deployment.yaml"), `{hyco-sidecar/inject: "true"}`, "{}")
	objects := render(t, inMemory(t, map[string]string{"/user/kustomization.yaml": user, "/user/workloads.yaml": plain}), "/user")
	for _, o := range objects {
		if d, ok := o.(*appsv1.Deployment); ok {
			if spec := d.Spec.Template.Spec; len(spec.InitContainers)+len(spec.Volumes)+len(spec.Containers[0].VolumeMounts) > 0 {
				t.Errorf("a workload without the annotation became %v", spec)
			}
			return
		}
	}
	t.Error("the workload is gone")
}

// TestTwoAppsOfOneNamespaceHaveSettingsOfTheirOwn: a namePrefix keeps them apart,
// and the component's own helper object does not collide.
func TestTwoAppsOfOneNamespaceHaveSettingsOfTheirOwn(t *testing.T) {
	app := read(t, kubernetes+"/app/deployment.yaml")
	nested := strings.ReplaceAll(user, "../deploy", "../../deploy")
	objects := render(t, inMemory(t, map[string]string{
		"/all/kustomization.yaml":        "resources: [first, second]\n",
		"/all/first/workloads.yaml":      app,
		"/all/second/workloads.yaml":     app,
		"/all/first/kustomization.yaml":  nested + "namePrefix: first-\n",
		"/all/second/kustomization.yaml": strings.ReplaceAll(nested, "sql01", "sql02") + "namePrefix: second-\n",
	}), "/all")
	var endpoints []string
	for _, o := range objects {
		if spec, _, namespace := template(o); spec != nil {
			checkPod(t, spec)
			checkResolver(t, objects, spec, namespace)
			for _, kv := range environment(t, objects, spec) {
				if value, ok := strings.CutPrefix(kv, "HYCO_ENDPOINTS="); ok {
					endpoints = append(endpoints, value)
				}
			}
		}
	}
	if want := []string{"sql01.corp.example:1433=sql01-hc", "sql02.corp.example:1433=sql02-hc"}; !slices.Equal(endpoints, want) {
		t.Errorf("the apps' endpoints are %v, want %v", endpoints, want)
	}
}

// TestCronJobsGetTheSameSidecar: kustomize cannot patch at two depths from one
// file.
func TestCronJobsGetTheSameSidecar(t *testing.T) {
	body := func(path, from string) string {
		_, body, ok := strings.Cut(read(t, kubernetes+path), from)
		if !ok {
			t.Fatalf("%s has no %q", path, from)
		}
		return body
	}
	deeper := strings.ReplaceAll("\n"+strings.TrimSuffix(body("/component/sidecar/pod.yaml", "  template:\n"), "\n"), "\n", "\n    ")
	if got := "\n" + strings.TrimSuffix(body("/component/sidecar/cronjob.yaml", "      template:\n"), "\n"); got != deeper {
		t.Errorf("cronjob.yaml differs from pod.yaml:\n%s\nwant\n%s", got, deeper)
	}
}
