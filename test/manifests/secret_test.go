package manifests_test

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// secretFiles writes a Secret as the kubelet does and returns the folder.
func secretFiles(t *testing.T, objects []runtime.Object, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, o := range objects {
		s, ok := o.(*corev1.Secret)
		if !ok || s.Name != name {
			continue
		}
		for key, value := range s.Data {
			if err := os.WriteFile(filepath.Join(dir, key), value, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	t.Fatalf("there is no Secret %s", name)
	return ""
}
