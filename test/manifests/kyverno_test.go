package manifests_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/filters/patchstrategicmerge"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// policy is as much of Kyverno's ClusterPolicy as ours uses; Kyverno's own types
// are too heavy for a test.
type policy struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Background bool   `json:"background"`
		Rules      []rule `json:"rules"`
	} `json:"spec"`
}

type rule struct {
	Name  string `json:"name"`
	Match struct {
		Any []struct {
			Resources struct {
				Kinds       []string          `json:"kinds"`
				Operations  []string          `json:"operations"`
				Annotations map[string]string `json:"annotations"`
			} `json:"resources"`
		} `json:"any"`
	} `json:"match"`
	Mutate struct {
		PatchStrategicMerge json.RawMessage `json:"patchStrategicMerge"`
	} `json:"mutate"`
}

func injection(t *testing.T) rule {
	t.Helper()
	var p policy
	if err := yaml.UnmarshalStrict([]byte(read(t, kubernetes+"/kyverno/policy.yaml")), &p); err != nil {
		t.Fatal(err)
	}
	if p.APIVersion != "kyverno.io/v1" || p.Kind != "ClusterPolicy" || len(p.Spec.Rules) != 1 {
		t.Fatalf("the policy is %v", p)
	}
	r := p.Spec.Rules[0]
	if m := r.Match.Any[0].Resources; !slices.Equal(m.Kinds, []string{"Pod"}) || !slices.Equal(m.Operations, []string{"CREATE"}) || m.Annotations["hyco-sidecar/inject"] != "true" {
		t.Fatalf("it matches %v", m)
	}
	return r
}

// inject applies the rule as Kyverno does (pkg/engine/mutate/patch): variables are
// put in, an element with the condition (name): "*" becomes one for each element
// of the resource, and the rest is merged by kustomize's own filter.
func inject(t *testing.T, r rule, settings string, pod []byte) *corev1.Pod {
	t.Helper()
	variable := regexp.MustCompile(`\{\{ request\.object\.metadata\.annotations\.\\"hyco-sidecar/settings\\" \|\| 'hyco-sidecar' \}\}`)
	patch, err := kyaml.Parse(variable.ReplaceAllString(string(r.Mutate.PatchStrategicMerge), settings))
	if err != nil {
		t.Fatal(err)
	}
	base, err := kyaml.Parse(string(pod))
	if err != nil {
		t.Fatal(err)
	}
	expand(t, patch, base)
	if left, _ := patch.String(); strings.Contains(left, "{{") || strings.Contains(left, "(") {
		t.Fatalf("the patch has a variable or condition that this test does not know:\n%s", left)
	}
	if _, err := (patchstrategicmerge.Filter{Patch: patch}).Filter([]*kyaml.RNode{base}); err != nil {
		t.Fatal(err)
	}
	return decode(t, "the Pod", []byte(base.MustString())).(*corev1.Pod)
}

func expand(t *testing.T, patch, base *kyaml.RNode) {
	t.Helper()
	list, err := patch.Pipe(kyaml.Lookup("spec", "containers"))
	if err != nil || list == nil || len(list.Content()) != 1 || list.Content()[0].Content[0].Value != "(name)" || list.Content()[0].Content[1].Value != "*" {
		t.Fatalf("the patch's containers are %v, %v", list, err)
	}
	containers, err := base.Pipe(kyaml.Lookup("spec", "containers"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := containers.ElementValues("name")
	if err != nil {
		t.Fatal(err)
	}
	pattern := list.Content()[0]
	list.YNode().Content = nil
	for _, name := range names {
		element := kyaml.NewRNode(pattern).Copy().YNode()
		element.Content[0].Value, element.Content[1].Value = "name", name
		list.YNode().Content = append(list.YNode().Content, element)
	}
}

const annotated = `
apiVersion: v1
kind: Pod
metadata: {name: x, namespace: shop, annotations: {hyco-sidecar/inject: "true"}}
spec:
  initContainers: [{name: migrate, image: busybox}]
  containers:
    - {name: web, image: busybox, volumeMounts: [{name: data, mountPath: /data}]}
    - {name: worker, image: busybox}
  volumes: [{name: data, emptyDir: {}}]
`

// TestKyvernoPolicyInjectsWhatTheComponentAdds: both ways lead to the same sidecar.
func TestKyvernoPolicyInjectsWhatTheComponentAdds(t *testing.T) {
	pod := inject(t, injection(t), "orders", []byte(annotated))
	checkPod(t, &pod.Spec)
	if len(pod.Spec.InitContainers) != 2 || len(pod.Spec.Containers) != 2 || len(pod.Spec.Volumes) != 3 {
		t.Errorf("the pod is now %v", pod.Spec)
	}
	objects := render(t, inMemory(t, map[string]string{
		"/user/kustomization.yaml": strings.ReplaceAll(user, "{name: hyco-", "{options: {disableNameSuffixHash: true}, name: hyco-"),
		"/user/workloads.yaml":     workload("apps/v1", "Deployment", "Always", "selector: {matchLabels: {app: x}}", 2),
	}), "/user")
	checkResolver(t, objects, &pod.Spec, pod.Namespace)

	named := inject(t, injection(t), "hyco-sidecar", []byte(annotated))
	for _, o := range objects {
		if spec, _, _ := template(o); spec != nil {
			want, got := spec.InitContainers[0].String(), named.Spec.InitContainers[0].String()
			if got != want {
				t.Errorf("the policy's sidecar differs from the component's:\n%s\nwant\n%s", got, want)
			}
			if got, want := volume(t, &named.Spec, "hyco-secrets").Secret.SecretName, volume(t, spec, "hyco-secrets").Secret.SecretName; got != want {
				t.Errorf("the policy's volume has the Secret %s, the component's %s", got, want)
			}
		}
	}
}

func TestKyvernoPolicyTakesTheSettingsOfTheAnnotation(t *testing.T) {
	pod := inject(t, injection(t), "orders", []byte(annotated))
	if got := pod.Spec.InitContainers[0].EnvFrom[0].ConfigMapRef.Name; got != "orders" {
		t.Errorf("the ConfigMap is %q, want orders", got)
	}
	if got := volume(t, &pod.Spec, "hyco-secrets").Secret.SecretName; got != "orders" {
		t.Errorf("the Secret is %q, want orders", got)
	}
}
