// Package manifests_test holds what is under deploy/ to what reads it: the
// Kubernetes API's types, the compose specification, promtool, and this
// project's own settings and metrics. It is a module of its own, so that these
// libraries stay out of the program's.
package manifests_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	deploy     = "../../deploy"
	kubernetes = deploy + "/kubernetes"
)

// render builds a kustomization and decodes each document as the API server
// does with fieldValidation=Strict: an unknown or misspelt field is a fault.
func render(t *testing.T, fs filesys.FileSystem, dir string) []runtime.Object {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var objects []runtime.Object
	for _, r := range built.Resources() {
		objects = append(objects, decode(t, dir, []byte(r.MustYaml())))
	}
	return objects
}

func decode(t *testing.T, where string, document []byte) runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, monitoring.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	o, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v\n%s", where, err, document)
	}
	return o
}

// kustomizations are the folders under deploy/kubernetes that can be applied.
func kustomizations(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(kubernetes, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "kustomization.yaml" && strings.Contains(read(t, path), "\nkind: Kustomization\n") {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil || len(dirs) == 0 {
		t.Fatalf("kustomizations: %v, %v", dirs, err)
	}
	return dirs
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// template is the pod template of a workload, and its name and namespace.
func template(o runtime.Object) (spec *corev1.PodSpec, name, namespace string) {
	switch w := o.(type) {
	case *appsv1.Deployment:
		return &w.Spec.Template.Spec, w.Name, w.Namespace
	case *appsv1.StatefulSet:
		return &w.Spec.Template.Spec, w.Name, w.Namespace
	case *appsv1.DaemonSet:
		return &w.Spec.Template.Spec, w.Name, w.Namespace
	case *batchv1.Job:
		return &w.Spec.Template.Spec, w.Name, w.Namespace
	case *batchv1.CronJob:
		return &w.Spec.JobTemplate.Spec.Template.Spec, w.Name, w.Namespace
	case *corev1.Pod:
		return &w.Spec, w.Name, w.Namespace
	}
	return nil, "", ""
}

func TestEveryExampleRendersAndCarriesTheSidecar(t *testing.T) {
	for _, dir := range kustomizations(t) {
		t.Run(strings.TrimPrefix(dir, kubernetes+"/"), func(t *testing.T) {
			objects := render(t, filesys.MakeFsOnDisk(), dir)
			if filepath.Base(dir) == "app" { // before the sidecar comes in
				return
			}
			pods := 0
			for _, o := range objects {
				if spec, _, namespace := template(o); spec != nil {
					pods++
					checkCapture(t, objects, spec)
					checkPod(t, spec)
					checkResolver(t, objects, spec, namespace)
					environment(t, objects, spec)
				}
			}
			if pods != 1 {
				t.Errorf("%d workloads, want 1", pods)
			}
		})
	}
}

func TestPodMonitorScrapesThePortOfTheSidecar(t *testing.T) {
	path := kubernetes + "/component/prometheus/podmonitor.yaml"
	monitor := decode(t, path, []byte(read(t, path))).(*monitoring.PodMonitor)
	for _, o := range render(t, filesys.MakeFsOnDisk(), kubernetes+"/overlays/prometheus") {
		spec, _, _ := template(o)
		if spec == nil {
			continue
		}
		ports := spec.InitContainers[0].Ports
		if len(ports) != 1 || ports[0].Name != *monitor.Spec.PodMetricsEndpoints[0].Port {
			t.Errorf("the sidecar has the ports %v, the monitor wants %q", ports, *monitor.Spec.PodMetricsEndpoints[0].Port)
		}
	}
}
